"""docs/evaluation.md, followed from top to bottom with the model of the quickstart."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.end_to_end.pages import DOCS, Block, Page, check_excerpt, follow

PAGE = Page(DOCS / "evaluation.md")

pytestmark = pytest.mark.usefixtures("on_page")


def test_every_block_is_tried() -> None:
    PAGE.check()


def test_commands_and_programs_do_what_the_page_says(
    on_page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(PAGE, capsys, monkeypatch)
    figures = json.loads((on_page / "evals/quickstart-base-arithmetic/metrics.json").read_text())["metrics"]
    rows = [line.split("|")[1] for line in PAGE.text.splitlines() if line.startswith("| `")]
    named = {name.partition("@")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {name.partition("@")[0] for name in figures if not name.endswith(("/low", "/high"))} <= named


@pytest.mark.parametrize("block", PAGE.excerpts, ids=lambda block: f"line {block.line}")
def test_an_excerpt_is_accepted_as_far_as_it_can_be_without_what_it_needs(block: Block) -> None:
    check_excerpt(block)

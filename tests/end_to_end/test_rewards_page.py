"""docs/rewards.md, followed from top to bottom with the model of the quickstart."""

from __future__ import annotations

import pytest

from tests.end_to_end.pages import DOCS, Block, Page, check_excerpt, follow, train_one_step

PAGE = Page(DOCS / "rewards.md")

pytestmark = pytest.mark.usefixtures("on_page")


def test_every_block_is_tried() -> None:
    PAGE.check()


def test_commands_and_programs_do_what_the_page_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(PAGE, capsys, monkeypatch)


@pytest.mark.parametrize("block", PAGE.fragments, ids=lambda block: f"line {block.line}")
def test_a_change_of_the_recipe_trains(block: Block) -> None:
    metrics = train_one_step(block)
    assert (metrics["step"], metrics["reward/errors"], metrics["reward/part_errors"]) == (1, 0, 0)
    assert metrics["reward/latency"] > 0


@pytest.mark.parametrize("block", PAGE.excerpts, ids=lambda block: f"line {block.line}")
def test_an_excerpt_is_accepted_as_far_as_it_can_be_without_what_it_needs(block: Block) -> None:
    check_excerpt(block)

"""docs/data.md, followed from top to bottom with the model of the quickstart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.pages import DOCS, Block, Page, check_excerpt, follow, train_one_step

PAGE = Page(DOCS / "data.md")

pytestmark = pytest.mark.usefixtures("on_page")


@pytest.fixture(scope="module")
def followed() -> list[Path]:
    """The directories in which its commands were typed."""
    return []


@pytest.fixture
def _prepared(
    on_page: Path,
    followed: list[Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its recipes train on what its commands prepare."""
    if on_page not in followed:
        followed.append(on_page)
        follow(PAGE, capsys, monkeypatch)


def test_every_block_is_tried() -> None:
    PAGE.check()


@pytest.mark.usefixtures("_prepared")
def test_commands_and_programs_do_what_the_page_says() -> None:
    assert all(Path(name).is_file() for name in ("prepared/held_out.parquet", "yuan/train.parquet"))
    assert "LaTeX" in Path("prepared/README.md").read_text(encoding="utf-8")
    for name in ("card.json", "conflicts.jsonl"):
        assert Path("prepared", name).is_file()


@pytest.mark.usefixtures("_prepared")
@pytest.mark.parametrize("block", PAGE.fragments, ids=lambda block: f"line {block.line}")
def test_a_change_of_the_recipe_trains(block: Block) -> None:
    assert train_one_step(block)["step"] == 1


@pytest.mark.parametrize("block", PAGE.excerpts, ids=lambda block: f"line {block.line}")
def test_an_excerpt_is_accepted_as_far_as_it_can_be_without_what_it_needs(block: Block) -> None:
    check_excerpt(block)

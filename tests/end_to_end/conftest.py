"""The directory in which somebody follows a page of docs/: the one that the test module calls PAGE."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pages import DOCS, ROOT, Page


@pytest.fixture(scope="module")
def page_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files of the page, the recipe of extending.md, and this repository's recipes/."""
    directory = tmp_path_factory.mktemp("page")
    request.module.PAGE.write_files(directory)
    [recipe] = [block for block in Page(DOCS / "extending.md").files if block.name == "recipe.yaml"]
    (directory / recipe.name).write_text(recipe.text, encoding="utf-8")
    (directory / "recipes").symlink_to(ROOT / "recipes")
    return directory


@pytest.fixture
def on_page(page_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be there, in a terminal of 100 columns, and forget its modules afterwards."""
    monkeypatch.chdir(page_directory)
    monkeypatch.syspath_prepend(page_directory)
    monkeypatch.setenv("COLUMNS", "100")
    known = set(sys.modules)
    yield page_directory
    for name in set(sys.modules) - known:
        if str(page_directory) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]

"""What the tables of docs/ name is there, all of it, and their links lead somewhere."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import dapo.rewards
import dapo.tasks
from dapo.grading.functions import is_isolated
from dapo.recipe.resolve import reward_from
from dapo.recipe.text import parse_yaml
from tests.end_to_end.pages import check_options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REWARDS = (DOCS / "rewards.md").read_text(encoding="utf-8")
DATA = (DOCS / "data.md").read_text(encoding="utf-8")

CHOOSERS = {"by_source", "mixed"}
"""Rewards that stand for those that rows choose, and so in no table of rewards."""


def rows_under(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = page.partition(f"\n## {heading}\n")[2]
    table = re.search(r"^\|.*?(?=^[^|]|\Z)", below, flags=re.DOTALL | re.MULTILINE)
    assert table is not None, heading
    lines = table[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def files_of(package: object) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(vars(package)["__path__"])}


def test_every_reward_is_in_the_table_with_settings_it_has_and_where_it_runs() -> None:
    table = {names_in(name)[0]: rest for name, *rest in rows_under(REWARDS, "The built-in rewards")}
    assert table.keys() == files_of(dapo.rewards) - CHOOSERS
    for name, (_, settings, _, runs) in table.items():
        reward = import_module(f"dapo.rewards.{name}").Reward
        assert set(names_in(settings)) <= {field.name for field in fields(reward)}, name
        assert runs.startswith("workers" if _runs_apart(reward) else "here"), name


def _runs_apart(reward: Any) -> bool:
    """Of rewards that need a setting, what their class says."""
    complete = all(field.default != MISSING or field.default_factory != MISSING for field in fields(reward))
    return is_isolated(reward()) if complete else bool(vars(reward).get("isolated", False))


def test_what_other_projects_have_is_named_as_a_recipe_takes_it() -> None:
    cells = [here for _, here in rows_under(REWARDS, "From verl, Yuan3.0 and TRL")]
    specs = [spec for cell in cells for spec in names_in(cell) if spec.startswith("{name:")]
    assert len(specs) > 10
    for spec in specs:
        reward_from(parse_yaml(spec))


def test_every_task_is_in_the_table() -> None:
    named = [name for cell, *_ in rows_under(DATA, "Built-in tasks") for name in names_in(cell)]
    assert sorted(named) == sorted(files_of(dapo.tasks))


def test_the_commands_of_the_readme_have_these_options() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    \.venv/bin/(dapo .*)$", text, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        check_options(command)


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        file = path.parent / target if target else path
        assert file.exists(), target
        headings = (
            re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE) if anchor else []
        )
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, f"{target}#{anchor}"

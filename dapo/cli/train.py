"""`dapo train`."""

from __future__ import annotations

from collections.abc import Sequence

from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe
from dapo.recipe.describe import describe
from dapo.recipe.text import parse_overrides


def run(recipe: str, overrides: Sequence[str], resume: bool, force: bool, dry_run: bool) -> None:
    """Train by a recipe, or say in words what that would be."""
    loaded = load_recipe(recipe, parse_overrides(overrides))
    if dry_run:
        print(describe(loaded))
        return
    Run(loaded, resume, force).train()

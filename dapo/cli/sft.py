"""`dapo sft`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from dapo.jobs.warmup import load_warm_up, warm_up_model
from dapo.recipe.text import parse_overrides


def run(recipe: str, overrides: Sequence[str]) -> None:
    """Warm a model up by a recipe and write it where the recipe says."""
    console = Console()
    wanted = load_warm_up(recipe, parse_overrides(overrides))
    every = max(1, wanted.num_updates // 20)

    def report(update: int, metrics: dict[str, float]) -> None:
        if update % every == 0:
            console.print(f"update {update:>6}  loss {metrics['loss']:.4f}")

    path = warm_up_model(wanted, report)
    console.print(f"the warmed-up model is in {path}")

"""The public functions. What they need is imported when they are called: `import dapo` stays light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dapo.evaluation import Evaluation


def train(
    recipe: str | Path | Mapping[str, Any], *, resume: bool = False, force: bool = False, **overrides: Any
) -> dict[str, Any]:
    """Train by a recipe: the path of a YAML file, or its content as a mapping.

    Args:
        resume: continue the run from its latest checkpoint.
        force: resume also where the recipe differs in what should not change.
        overrides: keys to set, as on the command line; dotted ones as `**{"optimizer.lr": 1e-5}`.
            `reward` may be a function.

    Returns the run's summary: `accuracy_before`, `accuracy_after`, `seconds`, `steps`, `tokens`, `run`;
    `interrupted` too where a signal ended it early.

    Raises:
        dapo.errors.UserError: for anything in the recipe or its data that has to be put right.
    """
    from dapo.jobs.training import Run
    from dapo.recipe.config import load_recipe

    return Run(load_recipe(recipe, overrides), resume, force).train()


def evaluate(model: str | Path, task: str | Mapping[str, Any], **settings: Any) -> Evaluation:
    """Measure a model on a task: avg@k, pass@k and maj@k with intervals, in `.metrics`.

    Args:
        model: a directory in Hugging Face's format, or a hub name.
        task: as `data.eval` of a recipe.
        settings: `eval` (a recipe's section of that name), `reward`, `max_prompt_tokens`,
            `max_completion_tokens`, `stop`, `slots`.
    """
    from dapo.jobs.measure import measure

    return measure({"model": {"path": str(model)}, "task": task, **settings})

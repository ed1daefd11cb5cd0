"""`dapo sft`: the recipe of a supervised warm-up, and the run it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dapo.errors import UserError
from dapo.learning.learner import Learner, LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings, autocast, load_codec, load_model, save_model
from dapo.recipe.resolve import task_from
from dapo.recipe.settings import build
from dapo.recipe.text import read_recipe
from dapo.sft import warm_up


@dataclass(frozen=True)
class WarmUp:
    """A supervised warm-up."""

    model: ModelSettings
    task: str | dict[str, Any]
    """A task with demonstrations."""
    output: str
    """Directory the warmed-up model is written to."""
    num_updates: int
    demonstrations_per_update: int = 64
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=1e-3))
    learner: LearnerSettings = field(default_factory=LearnerSettings)


def load_warm_up(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] = MappingProxyType({})
) -> WarmUp:
    """Read and check the recipe of a warm-up."""
    values = read_recipe(source, overrides)
    if isinstance(values.get("model"), str):
        values["model"] = {"path": values["model"]}
    return build(WarmUp, values, "")


def warm_up_model(
    recipe: WarmUp, on_update: Callable[[int, dict[str, float]], None] = lambda update, metrics: None
) -> Path:
    """Train on the task's demonstrations and write the model. Returns its directory."""
    output = Path(recipe.output)
    if output.exists() and any(output.iterdir()):
        raise UserError(f"output: {output} is not empty; name another directory or remove it")
    task = task_from(recipe.task, "task")
    if not hasattr(task, "demonstrations"):
        raise UserError(f"task: {recipe.task!r} has no demonstrations to warm up on")
    codec = load_codec(recipe.model)
    model = load_model(recipe.model)
    learner = Learner(
        model,
        pad_id=codec.pad_id,
        temperature=1.0,
        context=lambda: autocast(recipe.model.precision, model.device),
        optimizer=recipe.optimizer,
        settings=recipe.learner,
    )
    warm_up(
        learner,
        codec,
        iter(task.demonstrations()),
        recipe.num_updates,
        recipe.demonstrations_per_update,
        on_update,
    )
    save_model(model, codec, output)
    return output

"""What a run says in words: figures of an evaluation, remarks on a step, the last lines of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dapo.evaluation import Evaluation
from dapo.recipe.config import Recipe
from dapo.trainer import Step


def figures(result: Evaluation) -> str:
    """avg@k with its interval, pass@k and maj@k in a line."""
    k = len(result.scores[0])
    metrics = result.metrics
    names = [f"avg@{k}"] + ([f"pass@{k}", f"maj@{k}"] if k > 1 else [])
    return ", ".join(
        f"{name} {metrics[name]:.3f} [{metrics[f'{name}/low']:.3f}, {metrics[f'{name}/high']:.3f}]"
        for name in names
    )


def closing_words(summary: dict[str, Any], recipe: Recipe, checkpoint: Path | None) -> list[str]:
    """What the end of a run prints: the outcome, where it lies, and what to do next."""
    before, after = summary.get("accuracy_before"), summary.get("accuracy_after")
    task = recipe.data.eval or recipe.data.train
    settings = {"task": task} if isinstance(task, str) else dict(task)
    name = settings.pop("task", None) or settings.pop("path")
    given = "".join(f" task.{key}={value}" for key, value in settings.items())
    lines = [] if before is None else [f"accuracy {before:.3f} before, {after:.3f} after"]
    return [
        *lines,
        f"{summary['steps']} steps, {summary['tokens']:,} tokens, {summary['seconds']:.0f} s of training",
        f"run directory: {summary['run']}",
        f"next: dapo eval {checkpoint} --task {name} -n 8{given} "
        f"max_completion_tokens={recipe.max_completion_tokens}",
    ]


def remarks(step: Step) -> list[str]:
    """What a step's figures mean, where somebody should know."""
    metrics = step.metrics
    groups = step.sampled.account.groups
    lines = []
    if not step.sampled.trained:
        lines.append(
            f"step {step.number}: none of {groups['generated']} groups carries a signal "
            f"({groups['all_wrong']} all wrong, {groups['all_right']} all right): nothing to train on, "
            "the update is skipped"
        )
    if metrics["optim/nonfinite"]:
        lines.append(f"step {step.number}: a gradient was not finite; that update was skipped")
    if metrics["reward/errors"]:
        lines.append(f"step {step.number}: {metrics['reward/errors']:.0f} completions could not be graded")
    return lines

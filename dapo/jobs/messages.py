"""What a run says in words: figures of an evaluation, remarks on a step, the last lines of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dapo.evaluation import Evaluation
from dapo.recipe.config import Recipe
from dapo.run.directory import resume_command
from dapo.trainer import Step


def figures(result: Evaluation) -> str:
    """avg@k with its interval, pass@k and maj@k in a line."""
    k = result.k
    metrics = result.metrics
    names = [f"avg@{k}"] + ([f"pass@{k}", f"maj@{k}"] if k > 1 else [])
    return ", ".join(
        f"{name} {metrics[name]:.3f} [{metrics[f'{name}/low']:.3f}, {metrics[f'{name}/high']:.3f}]"
        for name in names
    )


def closing_words(summary: dict[str, Any], recipe: Recipe, checkpoint: Path | None) -> list[str]:
    """What the end of a run prints: the outcome, where it lies, and what to do next."""
    before, after = summary.get("accuracy_before"), summary.get("accuracy_after")
    lines = [] if before is None else [f"accuracy {before:.3f} before, {after:.3f} after"]
    return [
        *lines,
        f"{summary['steps']} steps, {summary['tokens']:,} tokens, {summary['seconds']:.0f} s of training",
        f"run directory: {summary['run']}",
        f"next: dapo eval {checkpoint} --task {_task_of(recipe)} "
        f"max_completion_tokens={recipe.max_completion_tokens}",
    ]


def _task_of(recipe: Recipe) -> str:
    """What the run was measured on, as `dapo eval` takes it."""
    first = recipe.data.train or recipe.data.sources[0].task
    task = recipe.data.eval or first
    settings = {"task": task} if isinstance(task, str) else dict(task)
    name = settings.pop("task", None) or settings.pop("path")
    return f"{name} -n 8" + "".join(f" task.{key}={value}" for key, value in settings.items())


def interrupted_words(signal: str, step: int, run: Path) -> list[str]:
    """What a run prints that was asked to stop: where it stands, and how it goes on."""
    return [
        f"stopped by {signal}; the run is saved as it was after step {step}",
        f"go on with: {resume_command(run)}",
    ]


def remarks(step: Step) -> list[str]:
    """What a step's figures mean, where somebody should know."""
    metrics = step.metrics
    lines = [_shortage(step)] if step.sampled.short else []
    if metrics["optim/nonfinite"]:
        lines.append(f"step {step.number}: a gradient was not finite; that update was skipped")
    if metrics.get("reward/errors"):
        lines.append(
            f"step {step.number}: {metrics['reward/errors']:.0f} completions could not be graded, "
            f"{metrics['reward/timeouts']:.0f} of them in time; see quarantine.jsonl in the run's directory"
        )
    return lines


def _shortage(step: Step) -> str:
    """Why a step is smaller than it should be, and why it took long."""
    sampled = step.sampled
    groups, trained = sampled.account.groups, len(sampled.trained)
    found = (
        f"step {step.number}: {groups['generated']} groups were generated, the limit of sampling.max_rounds, "
        f"for {sampled.wanted} that carry a signal; {groups['all_wrong']} were all wrong, "
        f"{groups['all_right']} all right"
    )
    if sampled.ends_run:
        return f"{found}. It trains on {trained}, and the run ends here, as sampling.on_shortage says"
    if not trained:
        return f"{found}: nothing to train on, the update is skipped"
    copies = f" and {len(sampled.copies)} copies" if sampled.copies else ""
    return f"{found}; the step trains on {trained}{copies}, {groups['carried_out']} wait for the next"

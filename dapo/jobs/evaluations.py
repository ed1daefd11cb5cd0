"""`dapo eval`: models on sets, each pair measured, written down, and gone on with where it was left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dapo.errors import UserError
from dapo.evaluation import Evaluation, evaluate
from dapo.grading.workers import Workers
from dapo.jobs.eval_sets import SetSpec
from dapo.jobs.measure import Measurement, PromptSet, load_sampler, prepare
from dapo.model import load_codec
from dapo.recipe.settings import build
from dapo.run.eval_directory import COMPLETIONS, EvalDirectory, free_path, read_summary
from dapo.run.eval_page import page_lines
from dapo.run.eval_records import by_prompt, read_records
from dapo.text import TextCodec

EVALS = Path("evals")
FEW_PROMPTS = 30
MANY_TRUNCATED = 0.1

Progress = Callable[[str, int, int], None]
"""Called with the name of a set, its prompts that are done, and all of them."""


@dataclass(frozen=True)
class Measured:
    """The evaluation of one model on one set."""

    model: str
    """What the model is called in tables."""
    name: str
    """Of the set."""
    evaluation: Evaluation
    path: Path
    """Its directory, or the file it was read from."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """How it was measured, as far as that is known."""
    notes: Sequence[str] = ()

    def remarks(self) -> list[str]:
        """What somebody should know who reads the figures, a line each."""
        evaluation, asked, metrics = self.evaluation, self.asked, self.evaluation.metrics
        lines, k = list(self.notes), evaluation.k
        if asked.get("temperature") == 0 and k > 1:
            lines.append(
                f"temperature 0: the {k} completions of a prompt are the same, and say no more than one"
            )
        if len(evaluation.groups) < FEW_PROMPTS:
            lines.append(
                f"{len(evaluation.groups)} prompts are few: the intervals are wide, and rough themselves"
            )
        cut = metrics["completion/truncated_share"]
        if cut >= MANY_TRUNCATED:
            limit = asked.get("max_completion_tokens")
            at = "" if limit is None else f" of {limit:,} tokens"
            lines.append(f"{cut:.0%} of the completions were cut at their limit{at}")
        if not evaluation.finds_answers and k > 1:
            lines.append("the reward takes no answer out of a completion: nothing can vote for maj@k")
        if metrics["reward/ungraded_share"]:
            reason = next(record.error for record in evaluation.completions if record.error is not None)
            lines.append(
                f"{metrics['reward/ungraded_share']:.1%} of the completions could not be graded: {reason}"
            )
        return lines


def measure_model(
    label: str,
    settings: Mapping[str, Any],
    sets: Sequence[SetSpec],
    place: Callable[[str, Mapping[str, Any]], Path],
    fresh: bool = False,
    progress: Progress = lambda name, done, total: None,
) -> list[Measured]:
    """Evaluate a model on several sets, and write each down.

    Everything is read and checked before the model is loaded; where all is measured already, it is not.

    Args:
        label: what the model is called.
        settings: of a `Measurement`, for all sets; a set's own come first.
        place: the directory of a set's evaluation, from its name and all it was asked.
        fresh: measure anew what lies there already.

    Raises UserError for what has to be put right, and where the disk refuses to be written to.
    """
    each = [_merged(settings, one.settings) for one in sets]
    shared = build(Measurement, each[0], "")
    codec = load_codec(shared.model)
    with Workers(shared.grading) as workers:
        ready = [prepare(one, codec, workers) for one in each]
        return _measure_sets(label, shared, sets, ready, codec, place, fresh, progress)


def _measure_sets(
    label: str,
    shared: Measurement,
    sets: Sequence[SetSpec],
    ready: Sequence[PromptSet],
    codec: TextCodec,
    place: Callable[[str, Mapping[str, Any]], Path],
    fresh: bool,
    progress: Progress,
) -> list[Measured]:
    sampler, measured = None, []
    for spec, prompts in zip(sets, ready, strict=True):
        path = place(spec.name, prompts.asked)
        try:
            with EvalDirectory(path, prompts.asked, fresh) as directory:
                left = [p for p in prompts.prompts if p.example.id not in directory.done]
                if left and sampler is None:
                    sampler = load_sampler(shared.model, shared.slots, ready, codec)
                measured.append(_measure(label, spec.name, prompts, sampler, directory, progress))
        except OSError as error:
            raise UserError(
                f"{path} could not be written to: {error}. What is in it stays; the same command goes on"
            ) from error
    return measured


def _measure(
    label: str, name: str, ready: PromptSet, sampler: Any, directory: EvalDirectory, progress: Progress
) -> Measured:
    done, total, notes = len(directory.done), len(ready.prompts), list(ready.notes)
    if done == total:
        evaluation = Evaluation([directory.done[prompt.example.id] for prompt in ready.prompts])
        notes.append(f"read from {directory.path}, measured before; --fresh measures it again")
    else:
        evaluation = evaluate(
            sampler,
            ready.prompts,
            ready.grader,
            ready.params,
            progress=lambda count, all_of: progress(name, count, all_of),
            done=directory.done,
            write=directory.add,
        )
    if 0 < done < total:
        notes.append(f"{done:,} of {total:,} prompts were answered before, and the others now")
    summary = {
        "model": label,
        "set": name,
        "prompts": total,
        "metrics": evaluation.metrics,
        "metrics_verl": evaluation.verl_metrics(name),
        "notes": ready.notes,
    }
    directory.finish(evaluation.completions, summary, page_lines(f"{label} on {name}", evaluation.groups))
    return Measured(label, name, evaluation, directory.path, ready.asked, notes)


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a set: its own before the shared ones, also inside `task` and `eval`."""
    merged = {**shared, **own}
    for key in ("task", "eval"):
        merged[key] = {**shared.get(key, {}), **own.get(key, {})}
    return merged


def holds_evaluation(operand: str) -> bool:
    """Whether this names evaluations that were written down, and not a model."""
    path = Path(operand)
    return (path.is_file() and path.suffix == ".jsonl") or bool(_directories(path))


def read_measured(operand: str) -> list[Measured]:
    """The evaluations that lie in a directory, or in the folders of it, or a file of completions.

    Raises UserError for one that is damaged or not finished.
    """
    path = Path(operand)
    if path.is_file():
        return [Measured(operand, path.stem, _read(path), path)]
    return [_read_directory(directory, operand) for directory in _directories(path)]


def _directories(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    if (path / COMPLETIONS).is_file():
        return [path]
    return sorted(entry for entry in path.iterdir() if (entry / COMPLETIONS).is_file())


def _read_directory(path: Path, operand: str) -> Measured:
    summary = read_summary(path)
    if summary is None or not summary.get("finished"):
        raise UserError(
            f"the evaluation in {path} is not finished; its own `dapo eval` command goes on with it"
        )
    notes = summary.get("notes", ())
    return Measured(operand, str(summary["set"]), _read(path / COMPLETIONS), path, summary["asked"], notes)


def _read(path: Path) -> Evaluation:
    try:
        return Evaluation(by_prompt(read_records(path)))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def label_of(model: str) -> str:
    """What a model is called: its last name, and that of its run where it is a checkpoint."""
    path = Path(model)
    if path.parent.name == "checkpoints" and path.parent.parent.name:
        return f"{path.parent.parent.name}-{path.name}"
    return path.name or path.resolve().name


def place_for(
    output: Path | None, label: str, models: int, sets: int
) -> Callable[[str, Mapping[str, Any]], Path]:
    """Where the evaluations of a model lie: `evals/MODEL-SET`, or within `output` as far as it takes."""

    def place(name: str, asked: Mapping[str, Any]) -> Path:
        if output is None:
            return free_path(EVALS / f"{label}-{name}", asked)
        folder = output / label if models > 1 else output
        return folder / name if sets > 1 else folder

    return place

"""`dapo eval`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dapo.cli.eval_tables import comparison, heading, one_set, several_sets
from dapo.errors import UserError
from dapo.jobs.eval_comparison import Compared, match
from dapo.jobs.eval_sets import parse_sets
from dapo.jobs.evaluations import (
    Measured,
    holds_evaluation,
    label_of,
    measure_model,
    place_for,
    read_measured,
)
from dapo.recipe.text import parse_overrides, set_value
from dapo.run.eval_directory import PAGE
from dapo.run.files import finite, write_text_atomically


@dataclass(frozen=True)
class EvalOptions:
    """The options of `dapo eval`. What is None was not given."""

    tasks: Sequence[str]
    completions: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    limit: int | None = None
    max_completion_tokens: int | None = None
    verl_names: bool = False
    output: Path | None = None
    fresh: bool = False

    def sampling(self) -> dict[str, Any]:
        """Those that a recipe's `eval` section has."""
        given = {
            name: value
            for name, value in vars(self).items()
            if name in ("completions", "temperature", "top_p", "seed", "limit", "max_completion_tokens")
        }
        return {name: value for name, value in given.items() if value is not None}


def run(arguments: Sequence[str], options: EvalOptions) -> None:
    """Measure, or read what was measured, print tables, and write everything down."""
    operands = [text for text in arguments if "=" not in text or Path(text).exists()]
    overrides = [text for text in arguments if text not in operands]
    if not operands:
        raise UserError("name a model, or an evaluation that was written down: dapo eval MODEL --task gsm8k")
    if len(set(operands)) < len(operands):
        raise UserError("the same model stands there twice; it is compared with another one")
    console = Console(highlight=False)
    sides = [_side(operand, operands, overrides, options, console) for operand in operands]
    unicode = console.encoding.lower().startswith("utf")
    for measured in sides:
        _print_figures(console, measured, unicode)
    if options.verl_names:
        _print_verl(console, sides)
    pairs = [match(sides[0], other) for other in sides[1:]]
    for compared in pairs:
        console.print(Text(), comparison(compared), sep="\n")
    if len(pairs) > 1:
        console.print("  several models against A: their p-values are not corrected for that", style="dim")
    if pairs and options.output is not None:
        _write_comparisons(options.output / "comparison.json", pairs)
    _print_places(console, sides, options.output if pairs else None)


def _side(
    operand: str, operands: Sequence[str], overrides: Sequence[str], options: EvalOptions, console: Console
) -> list[Measured]:
    """All evaluations of a model, or those that were written down."""
    if holds_evaluation(operand):
        return read_measured(operand)
    if not options.tasks:
        raise UserError(_no_task(operand))
    settings: dict[str, Any] = {"model": {"path": operand}, "task": {}, "eval": options.sampling()}
    for key, value in parse_overrides(overrides).items():
        set_value(settings, key, value)
    sets = parse_sets(options.tasks)
    labels = [label_of(text) for text in operands]
    label = label_of(operand)
    if labels.count(label) > 1:  # two checkpoints of one name
        label = operand.strip("/.").replace("/", "-")
    place = place_for(options.output, label, len(operands), len(sets))
    with _progress(console) as progress:
        bars: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(f"{label} on {name}", total=total)
            progress.update(bars[name], completed=done)

        try:
            return measure_model(label, settings, sets, place, options.fresh, report)
        except KeyboardInterrupt:
            raise UserError("stopped. What was answered is written down: the same command goes on") from None


def _no_task(operand: str) -> str:
    path = Path(operand)
    if (path / "rollouts").is_dir() and (path / "config.yaml").is_file():
        return (
            f"{operand} is a run: name one of its checkpoints (checkpoints/step_...) with --task, or one of "
            "its own evaluations (rollouts/eval_....jsonl)"
        )
    return (
        f"{operand} is no evaluation that was written down; to measure it as a model, name a set with --task"
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print_figures(console: Console, measured: Sequence[Measured], unicode: bool) -> None:
    console.print()
    if len(measured) == 1:
        console.print(one_set(measured[0], unicode))
    else:
        console.print(heading(measured), Text(), several_sets(measured), sep="\n")
    for one in measured:
        for line in one.remarks():
            name = f"{one.name}: " if len(measured) > 1 else ""
            note = Table.grid(padding=(0, 1, 0, 0))
            note.add_row(Text("  note", style="yellow"), Text(f"{name}{line}"))
            console.print(note)


def _print_verl(console: Console, sides: Sequence[Sequence[Measured]]) -> None:
    for one in [one for measured in sides for one in measured]:
        console.print(
            Text(f"\n{one.model} on {one.name}, by verl's names and its own bootstrap", style="bold")
        )
        for name, value in one.evaluation.verl_metrics(one.name).items():
            console.print(Text(f"  {name}  {value:.6g}"), soft_wrap=True)


def _write_comparisons(path: Path, pairs: Sequence[Sequence[Compared]]) -> None:
    values = [
        {
            "first": one.first.model,
            "second": one.second.model,
            "set": one.name,
            "notes": one.notes,
            "figures": {
                name: {**asdict(found), "difference": found.difference} for name, found in one.figures.items()
            },
        }
        for compared in pairs
        for one in compared
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(finite(values), indent=2) + "\n")


def _print_places(console: Console, sides: Sequence[Sequence[Measured]], output: Path | None) -> None:
    written = [one.path for measured in sides for one in measured if (one.path / PAGE).is_file()]
    lines = [f"metrics.json, completions.jsonl and {PAGE} are in", *[f"  {path}" for path in written]]
    if len(written) == 1:
        lines = [" ".join(line.strip() for line in lines)]
    if output is not None:
        lines.append(f"the comparison is in {output / 'comparison.json'}")
    console.print()
    for line in lines if written else lines[1:]:
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)

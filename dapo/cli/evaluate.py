"""`dapo eval`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dapo.evaluation import Evaluation
from dapo.jobs.measure import measure
from dapo.recipe.text import parse_overrides, set_value
from dapo.run.files import json_line, write_text_atomically


def run(model: str, task: str, completions: int, overrides: Sequence[str], output: Path | None) -> None:
    """Measure, print a table, and write metrics.json and completions.jsonl."""
    settings: dict[str, Any] = {"model": {"path": model}, "task": {"task": task}}
    settings["eval"] = {"completions": completions}
    for key, value in parse_overrides(overrides).items():
        set_value(settings, key, value)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("sampling", total=None)
        result = measure(settings, lambda done, total: progress.update(bar, completed=done, total=total))
    console.print(_table(result))
    directory = output or Path("evals") / f"{Path(model).name}-{Path(task).stem}"
    directory.mkdir(parents=True, exist_ok=True)
    summary = {"model": model, "task": task, "prompts": len(result.prompts), "settings": settings["eval"]}
    text = json.dumps({**summary, "metrics": result.metrics}, indent=2)
    write_text_atomically(directory / "metrics.json", text + "\n")
    lines = "".join(json_line(record) + "\n" for record in result.records())
    write_text_atomically(directory / "completions.jsonl", lines)
    console.print(f"metrics.json and completions.jsonl are in {directory}")


def _table(result: Evaluation) -> Table:
    table = Table(title=f"{len(result.prompts)} prompts x {len(result.scores[0])} completions")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, value in result.metrics.items():
        if name.endswith(("/low", "/high")):
            continue
        low, high = (result.metrics.get(f"{name}/{end}") for end in ("low", "high"))
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        table.add_row(name, f"{value:.4f}", interval)
    return table

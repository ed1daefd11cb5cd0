"""The live view of a run, drawn with rich."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import IO, cast

from rich.box import ROUNDED
from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from dapo.run.progress import COLUMNS, GuardedStream, Progress, clock

_REDRAWS_PER_SECOND = 4
_WIDTH = 84
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKLINE = 40
_SPARK_RANGE = 0.2


class LiveView:
    """A panel that stays in place: steps, the current round, the accuracy so far and the last steps."""

    def __init__(self, stream: GuardedStream, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        # Its own interactivity test would look at the environment again; the caller has decided.
        self._console = RichConsole(file=cast("IO[str]", stream), force_terminal=True, highlight=False)
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=self._console,
            refresh_per_second=_REDRAWS_PER_SECOND,
            get_renderable=self._draw,
        )

    def start(self) -> None:
        self._live.start(refresh=True)

    def stop(self) -> None:
        self._live.stop()

    def step(self, progress: Progress) -> None:
        return  # drawn at the next beat

    def message(self, text: str) -> None:
        self._console.print(Text(text))

    def warn(self, text: str) -> None:
        self._console.print(Text.assemble(("warning: ", "bold yellow"), (text, "yellow")))

    def finish(self, lines: Sequence[str]) -> None:
        # Without a frame and unbroken, so that a command among the lines can be copied.
        for place, line in enumerate(["", *lines]):
            self._console.print(Text(line, style="bold green" if place == 1 else ""), soft_wrap=True)

    @property
    def _width(self) -> int:
        return min(_WIDTH, self._console.width)

    def _draw(self) -> RenderableType:
        progress, moment = self._progress(), time.monotonic()
        parts: list[RenderableType] = [self._bars(progress, moment)]
        if progress.accuracies:
            parts += [Text(), _accuracy(progress), Text(), _table(progress)]
        return Panel(
            Group(*parts),
            title=Text(progress.title, style="bold"),
            title_align="left",
            box=ROUNDED,
            border_style="cyan",
            padding=(0, 1),
            width=self._width,
        )

    def _bars(self, progress: Progress, moment: float) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", width=8)
        grid.add_column(width=max(10, self._width - 50))
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        left = progress.seconds_left(moment)
        grid.add_row(
            "steps",
            ProgressBar(total=1.0, completed=progress.share, complete_style="cyan"),
            Text.assemble(
                (progress.place.strip(), "bold"), f"   {clock(left)} left" if left is not None else ""
            ),
        )
        if progress.wanted:
            counts = f"kept {progress.accepted}/{progress.wanted} groups, generated {progress.generated}"
            bar = ProgressBar(total=progress.wanted, completed=progress.accepted, complete_style="magenta")
            grid.add_row("round", bar, Text(counts))
        if progress.phase:
            self._spinner.update(text=Text(progress.phase))
            grid.add_row("", self._spinner, Text(clock(moment - progress.phase_began), style="dim"))
        return grid


def _accuracy(progress: Progress) -> Text:
    first, last = progress.accuracies[0], progress.accuracies[-1]
    return Text.assemble(
        ("accuracy  ", "dim"),
        (sparkline(progress.accuracies), "green"),
        f"  {first:.3f} → ",
        (f"{last:.3f}", "bold"),
    )


def _table(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    table.add_column("step", justify="right")
    for column in COLUMNS:
        table.add_column(column.title, justify="right", no_wrap=True)
    newest = len(progress.rows) - 1
    for place, (step, cells) in enumerate(progress.rows):
        table.add_row(str(step), *cells, style="bold" if place == newest else "")
    return table


def sparkline(values: Sequence[float], width: int = _SPARKLINE) -> str:
    """Values as a row of bars, averaged into at most `width` of them.

    The bars span the range of the values, or `_SPARK_RANGE` if that is wider: noise stays small.
    """
    count = min(width, len(values))
    edges = [place * len(values) // count for place in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, top = min(means), len(_SPARKS) - 1
    span = max(max(means) - low, _SPARK_RANGE)
    return "".join(_SPARKS[round((mean - low) / span * top)] for mean in means)

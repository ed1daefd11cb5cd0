"""What a run shows in the terminal: a live view, or a line per step where nobody watches."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Protocol, TextIO

from dapo.run.progress import COLUMNS, GuardedStream, Progress, clock


class View(Protocol):
    """How progress is put on a stream. Called by `Console` alone."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def step(self, progress: Progress) -> None:
        """A step has ended; its row is the last one."""

    def message(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def finish(self, lines: Sequence[str]) -> None: ...


class Console:
    """Shows a run while it goes on; a context manager.

    On a terminal it is a live view, redrawn at most four times a second. Elsewhere (a pipe, a file,
    `NO_COLOR`, `CI`, `TERM=dumb`, a terminal without Unicode) it is a line per step. A stream that breaks
    silences it; nothing is raised.

    Args:
        total_steps: how many steps the run has; None where it is limited in tokens or hours only.
        title: heading, such as the names of the run and of the model.
        stream: where to write; standard output if None.
    """

    _KEPT_ROWS = 8
    _KEPT_DURATIONS = 10

    def __init__(self, total_steps: int | None, title: str, stream: TextIO | None = None) -> None:
        target = stream if stream is not None else sys.stdout
        self._progress = Progress(title, total_steps, step_ended=time.monotonic())
        self._view = _view_for(target, lambda: self._progress)

    def __enter__(self) -> Console:
        self._view.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._view.stop()

    def sampling(self, accepted: int, wanted: int, generated: int) -> None:
        """The current round: groups that carry a signal, groups wanted, groups generated."""
        self._progress = replace(self._progress, accepted=accepted, wanted=wanted, generated=generated)

    def phase(self, name: str) -> None:
        """What the run is doing, in a word. Shown on a terminal only."""
        self._progress = replace(self._progress, phase=name, phase_began=time.monotonic())

    def step(
        self, step: int, metrics: Mapping[str, float], share: float, seconds_limit: float | None = None
    ) -> None:
        """A step has ended. Metrics that are missing show as a dash.

        `share` of the budget in steps or tokens is spent; `seconds_limit` is left of one in hours.
        """
        before, moment = self._progress, time.monotonic()
        cells = tuple(
            column.layout.format(metrics[column.metric]) if column.metric in metrics else "-"
            for column in COLUMNS
        )
        duration = metrics.get("time/step", moment - before.step_ended)
        accuracy = metrics.get("score/mean", math.nan)
        self._progress = replace(
            before,
            step=step,
            share=share,
            seconds_limit=seconds_limit,
            rows=(*before.rows, (step, cells))[-self._KEPT_ROWS :],
            accuracies=(*before.accuracies, accuracy) if math.isfinite(accuracy) else before.accuracies,
            durations=(*before.durations, duration)[-self._KEPT_DURATIONS :],
            step_ended=moment,
            accepted=0,
            generated=0,
        )
        self._view.step(self._progress)

    def message(self, text: str) -> None:
        self._view.message(text)

    def warn(self, text: str) -> None:
        self._view.warn(text)

    def finish(self, lines: Sequence[str]) -> None:
        """End the live view, in which no round goes on, and print the last word of the run."""
        self._progress = replace(self._progress, phase="", wanted=0)
        self._view.stop()
        self._view.finish(lines)


class PlainView:
    """A line per step, as a log file wants it."""

    def __init__(self, stream: GuardedStream) -> None:
        self._stream = stream

    def start(self) -> None:
        return

    def stop(self) -> None:
        return

    def step(self, progress: Progress) -> None:
        _, cells = progress.rows[-1]
        figures = [f"{column.title} {cell}" for column, cell in zip(COLUMNS, cells, strict=True)]
        left = clock(progress.seconds_left(progress.step_ended))
        self._print("  ".join([f"step {progress.place}", *figures, f"left {left}"]))

    def message(self, text: str) -> None:
        self._print(text)

    def warn(self, text: str) -> None:
        self._print(f"warning: {text}")

    def finish(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(line)

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def _view_for(stream: TextIO, progress: Callable[[], Progress]) -> View:
    guarded = GuardedStream(stream)
    watched = guarded.isatty() and os.environ.get("TERM") != "dumb"
    if not watched or os.environ.get("NO_COLOR") or os.environ.get("CI"):
        return PlainView(guarded)
    if not guarded.encoding.lower().startswith("utf"):
        return PlainView(guarded)
    # rich is loaded only where somebody watches.
    from dapo.run.live import LiveView

    return LiveView(guarded, progress)

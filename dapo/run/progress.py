"""What the views of a run draw, and the stream they write to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Column:
    """One figure of a step."""

    title: str
    metric: str
    layout: str


COLUMNS = (
    Column("accuracy", "score/mean", "{:.3f}"),
    Column("reward", "reward/mean", "{:.3f}"),
    Column("tokens", "completion/mean_tokens", "{:,.1f}"),
    Column("entropy", "policy/entropy", "{:.3f}"),
    Column("signal", "sampling/signal_share", "{:.0%}"),
    Column("tokens/s", "perf/tokens_per_second", "{:,.0f}"),
    Column("seconds", "time/step", "{:.1f}"),
)
"""`tokens` is the mean length of a completion; `signal` the share of groups that carried one."""


@dataclass(frozen=True)
class Progress:
    """All a view draws. Replaced as a whole, never changed: the view may read it from its own thread."""

    title: str
    total_steps: int | None
    """None for a run that is limited in tokens or hours only."""
    step: int = 0
    share: float = 0.0
    """Of the budget in steps or tokens, what is spent."""
    seconds_limit: float | None = None
    """What was left of a budget in hours when the last step ended."""
    rows: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """The last steps: number and the texts of `COLUMNS`."""
    accuracies: tuple[float, ...] = ()
    """Accuracy of every step so far."""
    durations: tuple[float, ...] = ()
    """Seconds of the last steps."""
    step_ended: float = 0.0
    """`time.monotonic()` at the end of the last step."""
    accepted: int = 0
    wanted: int = 0
    generated: int = 0
    phase: str = ""
    phase_began: float = 0.0

    def seconds_left(self, moment: float) -> float | None:
        """Estimate from the last steps, running down between them; None before the first one."""
        estimates = [] if self.seconds_limit is None else [self.seconds_limit]
        if self.durations and self.share > 0:
            mean = sum(self.durations) / len(self.durations)
            estimates.append(mean * self.step * (1 - self.share) / self.share)
        if not estimates:
            return None
        return max(0.0, min(estimates) - (moment - self.step_ended))

    @property
    def place(self) -> str:
        """`12/100`, or `12` where the number of steps is open."""
        if self.total_steps is None:
            return str(self.step)
        return f"{self.step:>{len(str(self.total_steps))}}/{self.total_steps}"


def clock(seconds: float | None) -> str:
    """A duration as 0:07, 12:34 or 1:02:03; a dash if unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class GuardedStream:
    """A text stream that falls silent when it breaks (a closed pipe, a full disk), and never raises."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        if not self._broken:
            try:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._broken = True
        return len(text)

    def flush(self) -> None:
        if not self._broken:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._broken = True

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

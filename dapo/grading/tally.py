"""Counts of what was graded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dapo.grading.judging import Judged


@dataclass
class Tally:
    """How grading went, over some answers."""

    graded: int = 0
    """Answers seen."""
    errors: int = 0
    """Of them, those that could not be graded."""
    timeouts: int = 0
    """Of these, those that took too long."""
    parse_failures: int = 0
    """Of the graded ones, those in which no answer was found, by rewards that look for one."""
    seconds: list[float] = field(default_factory=list)
    """What grading each answer took. For a function that grades a group, its time is shared out."""

    def add(self, judged: Judged) -> None:
        self.graded += 1
        self.errors += judged.score is None
        self.timeouts += judged.failure == "timeout"
        self.parse_failures += judged.score is not None and judged.sought and judged.score.answer is None
        self.seconds.append(judged.seconds)

    @staticmethod
    def sum(tallies: Iterable[Tally]) -> Tally:
        total = Tally()
        for tally in tallies:
            total.graded += tally.graded
            total.errors += tally.errors
            total.timeouts += tally.timeouts
            total.parse_failures += tally.parse_failures
            total.seconds += tally.seconds
        return total

    def metrics(self) -> dict[str, float]:
        """Counts, and mean and largest time of an answer in seconds. Empty where nothing was graded."""
        if not self.graded:
            return {}
        return {
            "reward/errors": float(self.errors),
            "reward/timeouts": float(self.timeouts),
            "reward/parse_failures": float(self.parse_failures),
            "reward/latency": sum(self.seconds) / self.graded,
            "reward/latency_max": max(self.seconds),
        }

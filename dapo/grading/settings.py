"""How answers are graded, and what becomes of those that cannot be: the settings of grading."""

from __future__ import annotations

import os
from dataclasses import dataclass

_MOST_WORKERS = 8
"""As many as are started unasked: more, each with a reward's libraries in memory, is somebody's decision."""


@dataclass(frozen=True)
class GradingSettings:
    """Where rewards run, and the limits of an answer there.

    Rewards of the package that are cheap and safe by construction run in the process of the run. All others
    run in workers, processes of their own, which are ended and started again where an answer exceeds its
    limits.
    """

    workers: int | None = None
    """Processes that grade. Left out: half of the cores, 8 at most. 0: every reward runs in the process of
    the run, where nothing protects it."""
    seconds_per_answer: float = 10.0
    """Time on the clock that grading one answer may take, in workers. A function that grades a whole group
    has so much for each of its answers, all together."""
    memory_gb: float | None = 4.0
    """GiB that a worker may take besides what it holds once the reward is loaded. null: no limit. Only
    Linux enforces it."""
    error_score: float = 0.0
    """The score of an answer that could not be graded."""
    check_golds: int = 200
    """So many gold answers are graded before a training begins. 0: none."""
    min_gold_share: float = 0.99
    """The training does not begin where a smaller share of them scores as right."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError("workers must be at least 0 (0: rewards run in the process of the run)")
        if not 0 < self.seconds_per_answer < float("inf"):
            raise ValueError("seconds_per_answer must be greater than 0, such as 10")
        if self.memory_gb is not None and not self.memory_gb > 0:
            raise ValueError("memory_gb must be greater than 0; null switches the limit off")
        if not 0 <= self.error_score <= 1:
            raise ValueError(f"error_score must lie in [0, 1], not {self.error_score}")
        if self.check_golds < 0:
            raise ValueError("check_golds must be at least 0 (0: golds are not checked before a training)")
        if not 0 <= self.min_gold_share <= 1:
            raise ValueError(f"min_gold_share must lie in [0, 1], not {self.min_gold_share}")

    @property
    def processes(self) -> int:
        """How many workers there are."""
        if os.name != "posix":
            return 0
        if self.workers is not None:
            return self.workers
        return min(_MOST_WORKERS, max(1, _cores() // 2))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

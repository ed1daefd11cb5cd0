"""From finished groups to verdicts, at a time that does not depend on how fast grading is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dapo.core.signal import has_signal, verdict
from dapo.errors import UserError
from dapo.types import GradedGroup, Group, Rollout, Verdict

_PATIENCE = 0.2
"""Seconds between two looks at whether a late verdict is still wanted."""


@dataclass(frozen=True)
class Filter:
    """Whether a group carries a signal (DAPO Eq. 11), read from one value of its rollouts."""

    on: str
    tolerance: float

    def __call__(self, group: GradedGroup) -> Verdict:
        """`signal` where the values differ, else what the scores say.

        A completion that could not be graded has no parts: they count as 0. Raises UserError if the score of
        another one has no part of this name.
        """
        if has_signal([self._value(rollout) for rollout in group.rollouts], self.tolerance):
            return "signal"
        mean = sum(group.scores) / len(group.scores)
        return verdict([mean], self.tolerance)

    def _value(self, rollout: Rollout) -> float:
        if self.on == "score":
            return rollout.score.score
        if self.on == "reward":
            return rollout.reward
        if rollout.score.error is not None:
            return 0.0
        try:
            return rollout.score.parts[self.on]
        except KeyError:
            known = ", ".join(["score", "reward", *rollout.score.parts])
            raise UserError(
                f"sampling.filter_on: the reward gives no part {self.on!r}; it can be one of {known}"
            ) from None


class Grading:
    """Grades groups beside the sampling; each verdict takes effect a fixed number of ticks later.

    How many are graded at once, and which is done first, changes nothing but the time it takes.
    """

    def __init__(self, grade: Callable[[Group], GradedGroup], delay: int, threads: int = 1) -> None:
        self._grade, self._delay = grade, delay
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grading")
        self._waiting: list[tuple[int, Future[GradedGroup]]] = []

    def submit(self, groups: Sequence[Group], tick: int) -> None:
        """Start grading groups that ended at `tick`."""
        self._waiting += [(tick + self._delay, self._pool.submit(self._grade, group)) for group in groups]

    def due(self, tick: int | None, check: Callable[[], None] = lambda: None) -> list[GradedGroup]:
        """What takes effect by `tick`, in the order of submission; all of it if None.

        Waits for late ones, and calls `check` now and then meanwhile. Raises what it or grading raised.
        """
        count = sum(tick is None or when <= tick for when, _ in self._waiting)
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        for _, future in ready:
            while not wait([future], timeout=_PATIENCE).done:
                check()
        return [future.result() for _, future in ready]

    def drop(self) -> None:
        """Forget what is being graded: its step is abandoned."""
        self._waiting = []

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

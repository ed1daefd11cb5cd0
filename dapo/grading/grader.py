"""Grades the completions of prompts, and counts what could not be graded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dapo.grading.adapt import as_reward
from dapo.grading.judging import Judged, judge_all
from dapo.grading.quarantine import Quarantine
from dapo.grading.tally import Tally
from dapo.grading.workers import Unportable, Workers
from dapo.types import Completion, Example, Score


class Grader:
    """Grades the completions of a prompt, whatever the reward does.

    A completion that cannot be graded (the reward raised, or returned NaN, None or anything else that is
    no verdict; in workers also: took too long, needed too much memory, ended its process) gets `error_score`
    and the reason in `Score.error`. A number outside [0, 1] without a mapping is a ScoreRangeError instead:
    it would strike every completion, and the run would train on errors.
    """

    def __init__(
        self,
        reward: Callable[..., Any],
        error_score: float = 0.0,
        workers: Workers | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        """`reward`: anything that `as_reward` returns or accepts. It runs in `workers` if it is to be
        isolated and can be sent there, else in this process, one prompt at a time.

        Raises UserError if it is to run in workers, and cannot be loaded there.
        """
        if not 0 <= error_score <= 1:
            raise ValueError(f"error_score must lie in [0, 1], not {error_score}")
        self._reward = as_reward(reward)
        self._error_score, self._quarantine = error_score, quarantine or Quarantine()
        self.tally = Tally()
        """Of what was graded since `take_tally`."""
        self._counting = threading.Lock()
        self.threads = 1
        """How many threads may call `grade` to some use."""
        self._here_now = threading.Lock()
        self.notes: list[str] = []
        """What to know of where the reward runs."""
        self._remote = False
        self._judge: Callable[[Sequence[Completion], Example], list[Judged]] = self._here
        if workers is not None and self._reward.outcomes.isolated:
            self._isolate(workers)

    @property
    def name(self) -> str:
        """Of the reward, for people."""
        return self._reward.outcomes.name

    @property
    def compares(self) -> bool:
        """Whether it takes the completions of a prompt together."""
        return self._reward.outcomes.unit == "group"

    @property
    def costly(self) -> bool:
        """Whether its verdicts cost money or the time of a service."""
        return self._reward.outcomes.costly

    @property
    def in_workers(self) -> bool:
        """Whether it runs in processes of its own."""
        return self._remote

    def _isolate(self, workers: Workers) -> None:
        if len(workers) == 0:
            return
        try:
            remote = workers.add(self._reward)
        except Unportable as reason:
            self.notes.append(
                f"the reward {self._reward.outcomes.name} runs in the process of the run, where it can hang "
                f"or end it: no other process could import it ({reason}); move it to a module of its own"
            )
            return
        self.threads, self._remote = len(workers), True
        self._judge = lambda completions, example: workers.grade(remote, completions, example)

    def _here(self, completions: Sequence[Completion], example: Example) -> list[Judged]:
        with self._here_now:  # Anyone's function need not be made for threads.
            return [judged for _, judged in judge_all(self._reward, completions, example)]

    def grade(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        """One score per completion, in order."""
        found = self._judge(completions, example)
        with self._counting:
            for judged in found:
                self.tally.add(judged)
        return [
            self._score(completion, example, judged)
            for completion, judged in zip(completions, found, strict=True)
        ]

    def _score(self, completion: Completion, example: Example, judged: Judged) -> Score:
        if judged.score is not None:
            return judged.score
        self._quarantine.put(self._reward.outcomes.name, completion, example, judged)
        return Score(score=self._error_score, error=judged.reason)

    def take_tally(self) -> Tally:
        """The counts so far, which begin anew."""
        with self._counting:
            tally, self.tally = self.tally, Tally()
        return tally


class SourceGrader:
    """Grades the completions of several sources, each by its own grader."""

    def __init__(self, graders: Mapping[str, Grader], source_of: Callable[[str], str]) -> None:
        """`source_of` gives the source of an example's id."""
        self._graders, self._source_of = graders, source_of

    def grade(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        """One score per completion, in order."""
        return self._graders[self._source_of(example.id)].grade(completions, example)

    @property
    def threads(self) -> int:
        return max(grader.threads for grader in self._graders.values())

    @property
    def notes(self) -> list[str]:
        return [note for grader in self._graders.values() for note in grader.notes]

    def take_tally(self) -> Tally:
        """The counts of all sources so far, which begin anew."""
        return Tally.sum(grader.take_tally() for grader in self._graders.values())

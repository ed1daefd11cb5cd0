"""Grades the completions of prompts, and counts what could not be graded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dapo.grading.adapt import AdaptedReward, as_reward
from dapo.grading.functions import Remembered
from dapo.grading.judging import Judged, judge_all
from dapo.grading.quarantine import Quarantine
from dapo.grading.slot import RemoteReward
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
        isolated and can be sent there, else in this process, one prompt at a time. Where rows choose among
        several, that is asked of each of them; `prepare` loads those that are needed beforehand.

        Raises UserError if it is to run in workers, and cannot be loaded there.
        """
        if not 0 <= error_score <= 1:
            raise ValueError(f"error_score must lie in [0, 1], not {error_score}")
        self._reward = as_reward(reward)
        self._error_score, self._quarantine = error_score, quarantine or Quarantine()
        self.tally = Tally()
        """Of what was graded since `take_tally`."""
        self._counting = threading.Lock()
        self._here_now = threading.Lock()
        self._workers = None if workers is None or len(workers) == 0 else workers
        self._remotes: Remembered[AdaptedReward, RemoteReward | None] = Remembered()
        self._loading = threading.Lock()
        self.notes: list[str] = []
        """What to know of where rewards run."""
        self.threads = len(self._workers) if self._workers is not None and self.in_workers else 1
        """How many threads may call `grade` to some use."""

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
        """Whether it runs in processes of its own, or rewards it chooses from may."""
        return self._workers is not None and (self.chooses or self._remote(self._reward) is not None)

    @property
    def chooses(self) -> bool:
        """Whether each row chooses the reward that grades it."""
        return self._reward.chooses

    def prepare(self, examples: Iterable[Example]) -> Counter[str]:
        """Load what grades these examples, and count them by the name of their reward.

        Raises UserError for an example that no reward is for, or whose reward cannot be loaded.
        """
        count: Counter[str] = Counter()
        for example in examples:
            reward = self._reward.of(example)
            self._remote(reward)
            count[reward.outcomes.name] += 1
        return count

    def _remote(self, reward: AdaptedReward) -> RemoteReward | None:
        """The reward as workers have it; None where it runs in this process."""
        with self._loading:
            return self._remotes(reward, self._load)

    def _load(self, reward: AdaptedReward) -> RemoteReward | None:
        if self._workers is None or not reward.isolated:
            return None
        try:
            return self._workers.add(reward)
        except Unportable as reason:
            self.notes.append(
                f"the reward {reward.outcomes.name} runs in the process of the run, where it can hang "
                f"or end it: no other process could import it ({reason}); move it to a module of its own"
            )
            return None

    def _judge(
        self, reward: AdaptedReward, completions: Sequence[Completion], example: Example
    ) -> list[Judged]:
        remote = self._remote(reward)
        if remote is not None and self._workers is not None:
            return self._workers.grade(remote, completions, example)
        with self._here_now:  # Anyone's function need not be made for threads.
            return [judged for _, judged in judge_all(reward, completions, example)]

    def grade(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        """One score per completion, in order."""
        reward = self._reward.of(example)
        found = self._judge(reward, completions, example)
        with self._counting:
            for judged in found:
                self.tally.add(judged)
        return [
            self._score(reward, completion, example, judged)
            for completion, judged in zip(completions, found, strict=True)
        ]

    def _score(
        self, reward: AdaptedReward, completion: Completion, example: Example, judged: Judged
    ) -> Score:
        if judged.score is not None:
            return judged.score
        self._quarantine.put(reward.outcomes.name, completion, example, judged)
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
    def chooses(self) -> bool:
        """Whether rows of some source choose the reward that grades them."""
        return any(grader.chooses for grader in self._graders.values())

    def prepare(self, examples: Iterable[Example]) -> Counter[str]:
        """As `Grader.prepare`, each example with the grader of its source."""
        count: Counter[str] = Counter()
        for example in examples:
            count += self._graders[self._source_of(example.id)].prepare([example])
        return count

    @property
    def threads(self) -> int:
        return max(grader.threads for grader in self._graders.values())

    @property
    def notes(self) -> list[str]:
        return [note for grader in self._graders.values() for note in grader.notes]

    def take_tally(self) -> Tally:
        """The counts of all sources so far, which begin anew."""
        return Tally.sum(grader.take_tally() for grader in self._graders.values())

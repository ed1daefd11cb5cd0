"""Grades the completions of prompts, and counts what could not be graded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dapo.grading.adapt import as_reward
from dapo.grading.calls import Ungraded
from dapo.types import Completion, Example, Score


class Grader:
    """Grades the completions of a prompt, whatever the reward does.

    A completion that cannot be graded (the reward raised, or returned NaN, None or anything else that is
    no verdict) gets `error_score` and the reason in `Score.error`. A number outside [0, 1] without a mapping
    is a ScoreRangeError instead: it would strike every completion, and the run would train on errors.
    """

    def __init__(self, reward: Callable[..., Any], error_score: float = 0.0) -> None:
        """`reward`: anything that `as_reward` returns or accepts."""
        if not 0 <= error_score <= 1:
            raise ValueError(f"error_score must lie in [0, 1], not {error_score}")
        self._reward = as_reward(reward)
        self._error_score = error_score
        self.graded = 0
        """Completions seen."""
        self.errors = 0
        """Of them, those that could not be graded."""
        self.parse_failures = 0
        """Of the others, those in which no answer was found, by rewards that look for one."""

    def grade(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        """One score per completion, in order."""
        return [self._grade(outcome) for outcome in self._reward.outcomes(completions, example)]

    def _grade(self, outcome: object) -> Score:
        self.graded += 1
        try:
            score = self._reward.verdict(outcome)
        except Ungraded as reason:
            self.errors += 1
            return Score(score=self._error_score, error=str(reason))
        looks_for_answers = isinstance(outcome, Score) or (isinstance(outcome, Mapping) and "pred" in outcome)
        self.parse_failures += looks_for_answers and score.answer is None
        return score


class SourceGrader:
    """Grades the completions of several sources, each by its own grader."""

    def __init__(self, graders: Mapping[str, Grader], source_of: Callable[[str], str]) -> None:
        """`source_of` gives the source of an example's id."""
        self._graders, self._source_of = graders, source_of

    def grade(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        """One score per completion, in order."""
        return self._graders[self._source_of(example.id)].grade(completions, example)

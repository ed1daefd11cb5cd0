"""From completions to judgements, in the process of the run and in workers alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dapo.errors import UserError
from dapo.grading.adapt import AdaptedReward, ScoreRangeError
from dapo.grading.calls import TimedOut, Ungraded
from dapo.types import Completion, Example, Score

Failure = Literal["error", "timeout", "memory", "died"]
"""Why an answer has no score: the reward raised or returned no verdict, took too long, needed too much
memory, or ended the process it ran in."""

_MOST_OF_A_REASON = 1000
"""Characters of a reason that are kept: a reward may put everything it read into an exception."""


@dataclass(frozen=True)
class Judged:
    """What became of one answer."""

    score: Score | None
    """None where it could not be graded."""
    seconds: float
    """What grading took."""
    failure: Failure | None = None
    reason: str = ""
    """Why it could not be graded, for people."""
    sought: bool = False
    """Whether the reward looks for an answer in the text, and so may fail to find one."""

    def dumps(self) -> str:
        """As JSON, which `loads` reads back to the same."""
        return json.dumps(
            [self.score and vars(self.score), self.seconds, self.failure, self.reason, self.sought],
            default=dict,
        )

    @staticmethod
    def loads(values: Sequence[Any]) -> Judged:
        """From what json.loads makes of `dumps`. Raises TypeError or ValueError for anything else."""
        score, seconds, failure, reason, sought = values
        return Judged(score and Score(**score), float(seconds), failure, str(reason), bool(sought))


def judge_all(
    reward: AdaptedReward, completions: Sequence[Completion], example: Example
) -> Iterator[tuple[int, Judged]]:
    """Each completion's place and what became of it, as soon as that is known.

    Raises UserError, of which ScoreRangeError is one, for what would strike every completion.
    """
    alone = reward.outcomes.unit == "answer"
    units = [[completion] for completion in completions] if alone else [completions]
    place = 0
    for unit in units:
        started = time.perf_counter()
        outcomes = reward.outcomes(unit, example)
        seconds = (time.perf_counter() - started) / len(unit)
        for outcome in outcomes:
            yield place, judge(reward, outcome, seconds)
            place += 1


def judge(reward: AdaptedReward, outcome: object, seconds: float) -> Judged:
    """What an outcome of the reward function stands for. Raises ScoreRangeError."""
    try:
        score = reward.verdict(outcome)
    except ScoreRangeError:
        raise
    except Ungraded as reason:
        return Judged(None, seconds, _failure(reason), str(reason)[:_MOST_OF_A_REASON])
    except Exception as error:  # What a reward returns may raise when it is looked at, and so may to_score.
        reason_text = f"the verdict could not be read: {type(error).__name__}"
        return Judged(None, seconds, "error", reason_text)
    sought = isinstance(outcome, Score) or (isinstance(outcome, Mapping) and "pred" in outcome)
    return Judged(score, seconds, sought=sought)


def _failure(reason: Ungraded) -> Failure:
    if isinstance(reason, TimedOut):
        return "timeout"
    return "memory" if isinstance(reason.__cause__, MemoryError) else "error"


def setting_error(kind: str, message: str) -> UserError:
    """The error that `kind_of` named, to be raised in another process."""
    return ScoreRangeError(message) if kind == "score_range" else UserError(message)


def kind_of(error: UserError) -> str:
    return "score_range" if isinstance(error, ScoreRangeError) else "user"

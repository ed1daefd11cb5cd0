"""Rewards finding the answer, and not going over it again and again: Yuan3.0's RIRM."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from dapo.rewards import math
from dapo.types import Completion, Example, Score
from dapo.verify.annotate import Thoughts, by_judge, by_rule
from dapo.verify.endpoint import Endpoint, EndpointError
from dapo.verify.reflections import Trace, Variant, bounds, triple
from dapo.verify.yuan import thinks

AnswerReward = Callable[[Completion, Example], Score]

_TOO_LONG_A_GUESS = 25_000
"""Characters of thoughts from which the released code leaves wrong choices of a letter alone."""


@dataclass(frozen=True)
class Reward:
    """The verdict of `answer`; as the reward, the sum of the three scores of RIRM and of the side penalty.

    It lies between -4 and 3, see `dapo.verify.reflections`. A completion whose thoughts could not be
    annotated keeps 1 or -1. Completions without thoughts (where the column `enable_thinking_flag` is false)
    keep what `answer` gave them.
    """

    name: ClassVar[str] = "reflection"

    answer: AnswerReward = field(default_factory=math.Reward)
    """Says whether the final answer is right: from a score of a half. Judges one completion at a time."""
    side: tuple[AnswerReward, ...] = ()
    """What else has to hold (format, language, repetition): 1 is taken off if any scores less than a half."""
    variant: Variant = "paper"
    """Where the paper and the released code differ: which completions set the bounds, what counts as a
    verification, and what none is worth."""
    judge: Endpoint | None = None
    """The model that marks where the answer stands. None: a rule does."""

    def __post_init__(self) -> None:
        for name, reward in [("answer", self.answer), *(("side", side) for side in self.side)]:
            taken = inspect.signature(reward).parameters
            if len(taken) < 2 or "completions" in taken:
                raise ValueError(
                    f"{name} must judge one completion at a time, as math and exact do, not {reward!r:.80}"
                )

    @property
    def costly(self) -> bool:
        """With a judge every verdict asks a service."""
        return self.judge is not None

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        scores = [_attempt(self.answer, completion, example) for completion in completions]
        if thinks(example) is False:
            return scores
        right = [score.score >= 0.5 for score in scores]
        traces = self._traces(completions, example, scores)
        graded = sum(score.error is None for score in scores)
        pass_rate = sum(right) / graded if graded else 0.0
        known = [(trace, good) for trace, good in zip(traces, right, strict=True) if trace is not None]
        limits = bounds(known, pass_rate, self.variant)
        return [
            replace(score, reward=self._reward(trace, good, limits, completion, example))
            for score, trace, good, completion in zip(scores, traces, right, completions, strict=True)
        ]

    def _traces(
        self, completions: Sequence[Completion], example: Example, scores: Sequence[Score]
    ) -> list[Trace | None]:
        """None where there was nothing to annotate, or nobody who could."""
        seen = [
            self._thoughts(completion, example, score)
            for completion, score in zip(completions, scores, strict=True)
        ]
        known = [thoughts for thoughts in seen if thoughts is not None]
        if self.judge is None:
            found: Iterator[Trace | EndpointError] = map(by_rule, known)
        else:
            found = iter(by_judge(known, self.judge))
        marked = [None if thoughts is None else next(found) for thoughts in seen]
        return [trace if isinstance(trace, Trace) else None for trace in marked]

    def _thoughts(self, completion: Completion, example: Example, score: Score) -> Thoughts | None:
        right = score.score >= 0.5
        seen = Thoughts.of(completion.text, right, score.answer, example.answer)
        guess = self.variant == "code" and not right and _is_letter(example.answer)
        if seen is None or score.error is not None or (guess and len(seen.text) > _TOO_LONG_A_GUESS):
            return None
        return seen

    def _reward(
        self,
        trace: Trace | None,
        right: bool,
        limits: tuple[int, int],
        completion: Completion,
        example: Example,
    ) -> float:
        if trace is None:
            return 1.0 if right else -1.0
        held = all(_attempt(side, completion, example).score >= 0.5 for side in self.side)
        return sum(triple(trace, right, limits, self.variant)) - (0.0 if held else 1.0)


def _attempt(reward: AnswerReward, completion: Completion, example: Example) -> Score:
    try:
        return reward(completion, example)
    except Exception as error:  # Anyone's code, on whatever a model wrote: the rest of the group is sound.
        return Score(score=0.0, error=f"{type(error).__name__}: {error}")


def _is_letter(answer: str) -> bool:
    return len(answer.strip()) == 1 and answer.strip().isalpha()

"""From reward functions, whatever their signature, to verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Protocol, runtime_checkable

from dapo.errors import UserError
from dapo.grading.calls import Outcomes, Ungraded, Unit, outcomes_of, plain
from dapo.grading.functions import Parameters, Remembered, is_costly, name_of
from dapo.types import Completion, Example, Score

_ROUNDING = 1e-6
"""How far a score may lie outside [0, 1] and still pass for the limit itself."""


class Reward(Protocol):
    """Judges one completion. A bool or a float in [0, 1] is the score; a `Score` can say more.

    The rewards of the package are frozen dataclasses called `Reward`, one per file of `dapo/rewards`;
    their fields are the settings. A plain function serves as well.
    """

    def __call__(self, completion: Completion, example: Example) -> Score | bool | float:
        """The verdict on `completion`, an answer to `example`."""
        ...


class ScoreRangeError(UserError):
    """A reward function returned a number that is no score, and nothing says how to make it one."""


def as_reward(
    function: Callable[..., Any],
    to_score: Callable[[float], float] | None = None,
    score_range: Sequence[float] | None = None,
    conversational: bool = False,
) -> AdaptedReward:
    """Wraps a reward function, sync or async, whose parameters have the names of one of these signatures:

    - `completion, example`: this package's, returning a Score, a bool or a float;
    - `completions, example`: the same for all completions of a prompt at once, returning a list of those;
    - `completions, **columns`: TRL's, called once for all completions of a prompt. It gets `prompts`,
      `completions`, `completion_ids`, `answer` and the columns of the data, each as a list with one entry per
      completion, as far as its parameters ask for them, and returns a list of floats. Prompts and completions
      are texts, or lists of messages if `conversational`. None in the list means ungraded;
    - `data_source, solution_str, ground_truth, extra_info`: verl's, returning a float or a dict. The dict's
      `acc` is the score where there is one, `score` the reward, `pred` the answer;
    - `example` alone: returns the reward that grades the completions of this example, of any of these kinds.

    A number outside [0, 1] needs a mapping to a score: `score_range=(-1, 1)` maps -1 to 0 and 1 to 1, in a
    straight line; `to_score` is any function. The number itself then stays the reward.

    Raises UserError if the function has none of these signatures, or the settings contradict each other.
    """
    if isinstance(function, AdaptedReward):
        return function
    if "example" in (names := Parameters.of(function).names) and not names & {"completion", "completions"}:
        if to_score is not None or score_range is not None or conversational:
            raise UserError(
                f"reward: {name_of(function)} chooses a reward for each row; give score_range, to_score and "
                "conversational to those it chooses from"
            )
        return AdaptedReward(ByRow(function), None)
    if score_range is not None:
        if to_score is not None:
            raise UserError("reward: to_score and score_range exclude each other; set one of them")
        to_score = _line(score_range)
    return AdaptedReward(outcomes_of(function, conversational), to_score)


@dataclass(frozen=True)
class AdaptedReward:
    """A reward function behind this package's signature. Made by `as_reward`."""

    outcomes: Outcomes
    """What the function returned for each completion, or the exception it raised."""
    to_score: Callable[[float], float] | None

    def __call__(self, completion: Completion, example: Example) -> Score:
        """The verdict on one completion. Raises UserError if it cannot be graded."""
        return self.verdict(self.outcomes([completion], example)[0])

    @property
    def isolated(self) -> bool:
        """Whether it is to run in a process of its own."""
        return self.outcomes.isolated

    @property
    def chooses(self) -> bool:
        """Whether it is several rewards, of which each row chooses one."""
        return isinstance(self.outcomes, Choice) and self.outcomes.chooses

    def of(self, example: Example) -> AdaptedReward:
        """The reward that grades this example: the one its row chooses, where it does, else this one.

        The same choice gives the same object. Raises UserError if the row chooses none.
        """
        outcomes = self.outcomes
        return outcomes.chosen(example) if isinstance(outcomes, Choice) and outcomes.chooses else self

    def judged(self, outcome: object) -> Score | Ungraded:
        """The score an outcome stands for, or why it stands for none. Raises ScoreRangeError."""
        try:
            return self.verdict(outcome)
        except ScoreRangeError:
            raise
        except Ungraded as reason:
            return reason
        except Exception as error:  # What anyone's code returned may raise when read; so may to_score.
            return Ungraded(f"the verdict could not be read: {type(error).__name__}: {error}")

    def verdict(self, outcome: object) -> Score:
        """The score an outcome stands for. Raises Ungraded or ScoreRangeError if it stands for none."""
        if isinstance(outcome, Ungraded):
            raise outcome
        if isinstance(outcome, BaseException):
            raise Ungraded(f"the reward function raised {type(outcome).__name__}: {outcome}") from outcome
        if isinstance(outcome, Score):
            return _checked(outcome)
        if isinstance(outcome, Mapping):
            return self._of_mapping(outcome)
        value = _number(outcome)
        if isinstance(_only(outcome), bool):
            return Score(score=value)
        if self.to_score is None:
            return Score(score=_in_range(value))
        return Score(score=_in_range(_number(self.to_score(value))), reward=value)

    def _of_mapping(self, outcome: Mapping[str, Any]) -> Score:
        if "score" not in outcome:
            raise Ungraded(f"the reward function returned a dict without 'score': {list(outcome)}")
        answer = None if outcome.get("pred") is None else str(outcome["pred"])
        if "acc" in outcome:
            return Score(_in_range(_number(outcome["acc"])), reward=_number(outcome["score"]), answer=answer)
        verdict = self.verdict(outcome["score"])
        return Score(verdict.score, reward=verdict.reward, answer=answer)


@runtime_checkable
class Choice(Protocol):
    """Outcomes of several rewards, of which each row chooses one."""

    @property
    def chooses(self) -> bool:
        """False where there is but one after all."""
        ...

    def chosen(self, example: Example) -> AdaptedReward: ...


@dataclass(frozen=True)
class ByRow:
    """Calls the reward that a function of the example returns.

    The function reads rows and no completion, so it runs wherever it is asked; what it returns has rules of
    its own.
    """

    function: Callable[[Example], Callable[..., Any]]
    _adapted: Remembered[Callable[..., Any], AdaptedReward] = field(
        default_factory=Remembered, init=False, repr=False, compare=False
    )

    chooses: ClassVar[bool] = True
    unit: ClassVar[Unit] = "group"
    """What is chosen is not known, and may compare completions, or need a process of its own."""
    isolated: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def costly(self) -> bool:
        return is_costly(self.function)

    def chosen(self, example: Example) -> AdaptedReward:
        return self._adapted(self.function(example), as_reward).of(example)

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        reward = self.chosen(example)
        return [reward.judged(outcome) for outcome in reward.outcomes(completions, example)]


def _checked(score: Score) -> Score:
    """The same in Python's own numbers and texts. Raises Ungraded or ScoreRangeError where it is no score."""
    if score.error is not None:
        raise Ungraded(score.error)
    if type(score.score) is float and 0 <= score.score <= 1 and score.reward is None and not score.parts:
        return score if isinstance(score.answer, str | None) else replace(score, answer=str(score.answer))
    return replace(
        score,
        score=_in_range(_number(score.score)),
        reward=None if score.reward is None else _number(score.reward),
        answer=None if score.answer is None else str(score.answer),
        parts={str(name): _number(part) for name, part in score.parts.items()},
    )


def _only(value: object) -> object:
    """The number in an array of one."""
    value = plain(value)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _number(value: object) -> float:
    number = value if isinstance(value, list) else _only(value)
    if not isinstance(number, Real):
        what = "None" if number is None else f"a {type(value).__name__}"
        raise Ungraded(f"the reward function returned {what}, which is no number")
    if not math.isfinite(number):
        raise Ungraded(f"the reward function returned {float(number)}")
    return float(number)


def _in_range(score: float) -> float:
    if not -_ROUNDING <= score <= 1 + _ROUNDING:
        raise ScoreRangeError(
            f"reward: {score} is no score from 0 to 1; declare what the numbers mean, with score_range "
            "([-1, 1] for numbers from -1, wrong, to 1, right) or with a function to_score; or return "
            "Score(score=..., reward=...)"
        )
    return min(max(float(score), 0.0), 1.0)


def _line(score_range: Sequence[float]) -> _Line:
    if len(score_range) != 2 or not score_range[0] < score_range[1]:
        raise UserError(f"reward: score_range must be [low, high] with low < high, not {list(score_range)}")
    return _Line(*score_range)


@dataclass(frozen=True)
class _Line:
    """The straight line that takes `low` to 0 and `high` to 1."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

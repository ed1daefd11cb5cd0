"""One reward gives the verdict, others shape what the advantage sees of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dapo.errors import UserError
from dapo.grading.adapt import AdaptedReward, ScoreRangeError
from dapo.grading.calls import Ungraded, Unit
from dapo.grading.functions import Remembered
from dapo.types import Completion, Example, Score

Gate = Literal["always", "correct", "wrong", "parsed"]

RIGHT = 0.5
"""Scores from here on are right: a graded verdict has to be one or the other at a gate, as in
`dapo.core.signal.verdict`."""

_OPEN: Mapping[Gate, Callable[[Score], bool]] = {
    "always": lambda score: True,
    "correct": lambda score: score.score >= RIGHT,
    "wrong": lambda score: score.score < RIGHT,
    "parsed": lambda score: score.answer is not None,
}

_RESERVED = ("score", "reward")


@dataclass(frozen=True, kw_only=True)
class ShapingSettings:
    """A term `weight * (value - offset)` in the reward of a completion.

    `value` is the score of a shaping reward, from 0, bad, to 1, good. Where the gate is shut or that reward
    could not judge, 0 is added. `offset` is the value that costs nothing: at 1 the term is a penalty in
    [-weight, 0], at 0 a bonus in [0, weight].
    """

    name: str
    """Of the term, in `Score.parts`, in the rollouts and for `sampling.filter_on`."""
    weight: float
    gate: Gate = "always"
    """Which completions get the term: all, those scored at least 0.5, the others, or those in which the
    verdict found an answer."""
    offset: float = 1.0
    among: Literal["gate", "group"] = "gate"
    """What a group reward compares: the completions the gate lets through, or all of the prompt."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(
                f"weight must be greater than 0, not {self.weight}; leave the entry out to switch it off; "
                "for a bonus instead of a penalty, set offset: 0"
            )
        if not 0 <= self.offset <= 1:
            raise ValueError(
                f"offset must lie in [0, 1], not {self.offset}: 1 makes the term a penalty, 0 a bonus"
            )
        if self.gate not in _OPEN:
            raise ValueError(f"gate must be one of {', '.join(_OPEN)}, not {self.gate!r}")
        if not self.name or self.name in _RESERVED:
            raise ValueError(
                f"name {self.name!r} cannot stand for a term: sampling.filter_on reads score and reward as "
                "those themselves; choose another"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most it adds where its gate is open."""
        return -self.weight * self.offset, self.weight * (1 - self.offset)

    def applies_where(self, right: bool) -> bool:
        """Whether the gate can be open for right answers, or for wrong ones."""
        return self.gate in ("always", "parsed", "correct" if right else "wrong")


@dataclass(frozen=True, kw_only=True)
class Shaping(ShapingSettings):
    """A reward that shapes."""

    reward: AdaptedReward

    def terms(
        self, verdicts: Sequence[object], completions: Sequence[Completion], example: Example
    ) -> dict[int, float | Ungraded]:
        """What it adds, or why it could not judge, by the place of each completion the gate lets through."""
        through = [
            place
            for place, verdict in enumerate(verdicts)
            if isinstance(verdict, Score) and _OPEN[self.gate](verdict)
        ]
        if not through:
            return {}
        asked = through if self.among == "gate" else range(len(completions))
        outcomes = self.reward.outcomes([completions[place] for place in asked], example)
        judged = dict(zip(asked, outcomes, strict=True))
        return {place: self._term(judged[place]) for place in through}

    def _term(self, outcome: object) -> float | Ungraded:
        try:
            judged = self.reward.judged(outcome)
        except ScoreRangeError as error:
            raise ScoreRangeError(f"shaping {self.name!r}: {error}") from error
        return judged if isinstance(judged, Ungraded) else self.weight * (judged.score - self.offset)


@dataclass(frozen=True)
class Composition:
    """The verdicts of `score` with the terms of `shaping` as their parts.

    Called as an `Outcomes`: the result holds a Score for each completion, and the exception where `score`
    could not judge. A shaping reward that cannot judge costs its own part and never the verdict;
    `Score.part_errors` says why.
    """

    score: AdaptedReward
    shaping: tuple[Shaping, ...]
    _with: Remembered[AdaptedReward, AdaptedReward] = field(
        default_factory=Remembered, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.shaping:
            raise ValueError("shaping must hold at least one entry; with none, name the reward itself")
        names = [term.name for term in self.shaping]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two entries of shaping are named {twice!r}; give one of them another `name`")
        if any(isinstance(reward.outcomes, Composition) for reward in (self.score, *self._rewards)):
            raise ValueError("compositions do not nest: list all shaping in one place")

    @property
    def name(self) -> str:
        return f"{self.score.outcomes.name} with {', '.join(term.name for term in self.shaping)}"

    @property
    def unit(self) -> Unit:
        """That of the reward which needs the most completions at once."""
        units = {reward.outcomes.unit for reward in (self.score, *self._rewards)}
        order: tuple[Unit, ...] = ("group", "awaited", "answer")
        return next(unit for unit in order if unit in units)

    @property
    def isolated(self) -> bool:
        return any(reward.outcomes.isolated for reward in (self.score, *self._rewards))

    @property
    def chooses(self) -> bool:
        """Whether rows choose the reward that gives the verdict."""
        return self.score.chooses

    def chosen(self, example: Example) -> AdaptedReward:
        """The same shaping around the verdict of the reward that the row chooses."""
        return self._with(self.score.of(example), lambda score: composed(score, self.shaping))

    @property
    def costly(self) -> bool:
        return any(reward.outcomes.costly for reward in (self.score, *self._rewards))

    @property
    def _rewards(self) -> list[AdaptedReward]:
        return [term.reward for term in self.shaping]

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[object]:
        """A verdict with its parts, or the reason why there is none, for each completion.

        Raises UserError for what would strike every completion, such as numbers outside a score's range.
        """
        outcomes = self.score.outcomes(completions, example)
        verdicts: list[object] = [self.score.judged(outcome) for outcome in outcomes]
        for shaping in self.shaping:
            terms = shaping.terms(verdicts, completions, example)
            verdicts = [
                _with_part(verdict, shaping.name, terms.get(place, 0.0))
                if isinstance(verdict, Score)
                else verdict
                for place, verdict in enumerate(verdicts)
            ]
        return verdicts


def _with_part(verdict: Score, name: str, term: float | Ungraded) -> Score:
    if name in verdict.parts:
        raise UserError(
            f"reward: the verdict already has a part {name!r}; give the entry of shaping another `name`"
        )
    if isinstance(term, Ungraded):
        errors = {**verdict.part_errors, name: str(term)}
        return replace(verdict, parts={**verdict.parts, name: 0.0}, part_errors=errors)
    return replace(verdict, parts={**verdict.parts, name: term})


def composed(score: AdaptedReward, shaping: Sequence[Shaping]) -> AdaptedReward:
    """A reward that judges as `score` does and adds the terms of `shaping`.

    Raises ValueError if two terms share a name, if there is none, or if one is itself composed.
    """
    return AdaptedReward(Composition(score, tuple(shaping)), None)

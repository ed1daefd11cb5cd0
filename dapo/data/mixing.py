"""Whose turn it is, where prompts come from several sources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction

from dapo.errors import UserError


@dataclass(frozen=True)
class MixSettings:
    """How sources take turns. Left out, their weights decide."""

    pattern: tuple[str, ...] = ()
    """Names of sources in the order of their turns, over and over, as in [short, short, long]."""
    block: int = 1
    """Prompts in a row that one turn gives. Yuan3.0 alternates whole batches of 512."""

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block must be at least 1, not {self.block}")

    def check(self, weights: Mapping[str, float]) -> None:
        """Raises UserError unless the settings fit sources of these names and weights."""
        if not self.pattern:
            return
        for name in self.pattern:
            if name not in weights:
                nearest = get_close_matches(name, weights, n=1)
                hint = f"the nearest name is {nearest[0]!r}" if nearest else f"there are {', '.join(weights)}"
                raise UserError(f"pattern: there is no source {name!r}; {hint}")
        for name, weight in weights.items():
            if name not in self.pattern:
                raise UserError(f"pattern: the source {name!r} never comes; add it, or remove the source")
            if weight != 1:
                raise UserError(
                    f"source {name!r}: a weight of {weight} has no effect beside a pattern; remove it"
                )


BY_WEIGHT = MixSettings()
"""One prompt a turn, turns by weight."""


class Turns:
    """Decides from the number of turns each source has had which one is next, and from nothing else."""

    def __init__(self, weights: Mapping[str, float], settings: MixSettings) -> None:
        settings.check(weights)
        names = list(weights)
        self._pattern = [names.index(name) for name in settings.pattern]
        # As it was written: 0.1 means a tenth, and not the float next to it.
        exact = [Fraction(str(weight)) for weight in weights.values()]
        common = math.lcm(*(weight.denominator for weight in exact))
        self._shares = [int(weight * common) for weight in exact]

    def next(self, taken: Sequence[int]) -> int:
        """Place of the source whose turn comes after each had `taken` turns.

        By weights, every source has at all times had its share of the turns to within one: |taken - share *
        turns| < 1. The next turn of a source may come once the share allows it, and is due before the
        source would lag by a whole turn; of those that may come, the first due is taken. This is
        proportionate fairness (Baruah, Cohen, Plaxton and Varvel, 1996) on a single resource. Taking the
        source that lags most would not do: with many sources one may fall further behind.
        """
        turn = sum(taken)
        if self._pattern:
            return self._pattern[turn % len(self._pattern)]
        total = sum(self._shares)
        due = {
            place: -(-(had + 1) * total // share)
            for place, (share, had) in enumerate(zip(self._shares, taken, strict=True))
            if had * total < share * (turn + 1)
        }
        return min(due, key=due.__getitem__)

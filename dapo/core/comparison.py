"""Two models on the same prompts: how far apart they are, and whether that may be chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from dapo.core.intervals import Bounds, Interval, mean_interval

FLIPS = 20_000
"""Random sign flips where the p-value cannot be had exactly."""

_MOST_WORK = 200_000_000
"""Additions that an exact p-value may take."""
_MOST_CASES = 20
"""Values that are no multiples of a step are enumerated up to so many prompts: 2^20 sign patterns."""
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """What a figure is in the second model, compared with the first, prompt by prompt."""

    prompts: int
    first: float
    second: float
    """The means over prompts."""
    interval: Interval | None
    """95 %, of the difference second - first, by resampling prompts in pairs."""
    p_value: float
    """Two-sided, of the permutation test: how often a difference of this size comes about if which of the
    two models gave which value is a matter of chance, for each prompt on its own."""
    exact: bool
    """False where the p-value is estimated from random permutations."""
    wins: int
    """Prompts on which the second is better."""
    losses: int
    ties: int

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def mcnemar(self) -> float:
        """McNemar's exact p-value, for one right or wrong answer per prompt: there it equals `p_value`."""
        return mcnemar_p(self.wins, self.losses)


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    bounds: Bounds = (0.0, 1.0),
    steps: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the values [n] that two models have on the same n prompts, in the same order.

    Args:
        bounds: the smallest and largest value of a prompt.
        steps: the values are multiples of 1 / steps, where that is known: k for the mean of k verdicts, or
            the least common multiple of both k. It makes the p-value exact for any number of prompts.
        seed: of the draws.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError("a comparison needs the values of two models on the same prompts, at least one")
    differences = second - first
    p_value, exact = sign_flip_p(differences, steps, seed)
    range_ = bounds[1] - bounds[0]
    return Comparison(
        prompts=len(first),
        first=float(first.mean()),
        second=float(second.mean()),
        interval=mean_interval(differences, (-range_, range_), seed=seed),
        p_value=p_value,
        exact=exact,
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
    )


def sign_flip_p(
    differences: NDArray[np.float64], steps: int | None = None, seed: int = 0
) -> tuple[float, bool]:
    """Two-sided p-value of the paired permutation test, and whether it is exact.

    Under the null each prompt's difference has either sign with the same chance. The p-value is the chance
    that the sum of n differences of random signs is as far from 0 as the one seen: exact by summing over all
    2^n patterns, which convolution makes cheap where differences are multiples of 1 / `steps`. Else it is
    (b + 1) / (m + 1), where b of m random patterns are as far out; it is never 0.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0, True
    if steps is not None:
        scaled = moved * steps
        whole = np.rint(scaled).astype(np.int64)
        work = int(np.abs(whole).sum()) * len(whole)
        if np.abs(scaled - whole).max() < 1e-6 and work <= _MOST_WORK:
            return _by_convolution(whole), True
    if len(moved) <= _MOST_CASES:
        return _by_enumeration(moved), True
    return _by_drawing(moved, seed), False


def mcnemar_p(wins: int, losses: int) -> float:
    """Two-sided exact p-value of McNemar's test: a fair coin decides each prompt that only one got right."""
    coins, fewer = wins + losses, min(wins, losses)
    if coins == 0:
        return 1.0
    tail = sum(comb(coins, heads) for heads in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << coins))


def _by_convolution(steps: NDArray[np.int64]) -> float:
    """The sum of ±m_i is twice the sum of those with a plus, less the sum of all."""
    sizes = np.abs(steps) // np.gcd.reduce(np.abs(steps))
    observed = abs(int((np.sign(steps) * sizes).sum()))
    total = int(sizes.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for size in sizes:
        half = chances / 2
        chances = half.copy()
        chances[size:] += half[:-size]
    sums = 2 * np.arange(total + 1) - total
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))


def _by_enumeration(moved: NDArray[np.float64]) -> float:
    sums = np.zeros(1)
    for value in moved:
        sums = np.concatenate([sums - value, sums + value])
    return float((np.abs(sums) >= abs(moved.sum()) - _rounding(moved)).mean())


def _by_drawing(moved: NDArray[np.float64], seed: int) -> float:
    rng, far = np.random.default_rng(seed), 0
    rows = max(1, _BLOCK // len(moved))
    limit = abs(float(moved.sum())) - _rounding(moved)
    for start in range(0, FLIPS, rows):
        count = min(rows, FLIPS - start)
        signs = rng.integers(2, size=(count, len(moved)), dtype=np.int8) * 2 - 1
        far += int((np.abs(signs @ moved) >= limit).sum())
    return (far + 1.0) / (FLIPS + 1)


def _rounding(moved: NDArray[np.float64]) -> float:
    """How far apart two equal sums may come out when they are added up in different orders."""
    return 1e-12 * float(np.abs(moved).sum())

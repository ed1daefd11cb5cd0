"""How far a mean over prompts may lie from what other prompts of their kind would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[float, float]
"""The smallest and the largest value that one prompt can have."""

UNIT: Bounds = (0.0, 1.0)
UNBOUNDED: Bounds = (-inf, inf)

RESAMPLES = 4000
_BLOCK = 2_000_000
"""Draws of prompts that are held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def mean_intervals(
    values: NDArray[np.float64],
    bounds: Sequence[Bounds],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval | None]:
    """Bootstrap intervals of several means over the same prompts, from the same draws of prompts.

    The percentiles are a little further out than (1 - level) / 2: they are widened as Student's t is against
    the normal distribution, and by the root of n / (n - 1). Without that, intervals over few prompts are too
    narrow (T. Hesterberg, The American Statistician 69 (2015), section 5.3, "expanded percentile").

    Where all n prompts have the same value, there is nothing to resample, and an interval of no width would
    claim to know what n prompts cannot tell. Then at most a share z^2 / (n + z^2) of all prompts, Wilson's
    bound for 0 of n, has another value, within `bounds`. At 0 and at 1, and with `UNIT` for bounds, that is
    Wilson's interval. Without bounds there is none: None.

    Args:
        values: [n, m], m figures of n prompts.
        bounds: of each figure.
        seed: of the draws.

    Raises ValueError without prompts, or for an impossible level.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, but it is {level}")
    prompts = len(values)
    if prompts == 0:
        raise ValueError("an interval needs the value of at least one prompt")
    if prompts == 1:
        return [_of_equals(value, 1, bound, level) for value, bound in zip(values[0], bounds, strict=True)]
    tail = _expanded_tail(prompts, level)
    ends = np.quantile(_resampled_means(values, resamples, seed), [tail, 1 - tail], axis=0)
    equal = values.min(axis=0) == values.max(axis=0)
    return [
        _of_equals(values[0, column], prompts, bound, level)
        if equal[column]
        else Interval(float(ends[0, column]), float(ends[1, column]))
        for column, bound in enumerate(bounds)
    ]


def mean_interval(
    values: Sequence[float] | NDArray[np.float64],
    bounds: Bounds = UNIT,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """The same for one figure: one value per prompt."""
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return mean_intervals(column, [bounds], level=level, seed=seed)[0]


def average_interval(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Of the plain average of independent means, from their own intervals.

    The distances between the means and the ends of their intervals are added in squares, for each side on
    its own (MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008), 1693-1702).
    """
    average = sum(means) / len(means)
    pairs = list(zip(means, intervals, strict=True))
    below = sqrt(sum((mean - interval.low) ** 2 for mean, interval in pairs)) / len(means)
    above = sqrt(sum((interval.high - mean) ** 2 for mean, interval in pairs)) / len(means)
    return Interval(average - below, average + above)


def _of_equals(value: float, prompts: int, bounds: Bounds, level: float) -> Interval | None:
    lowest, highest = bounds
    if not (isfinite(lowest) and isfinite(highest)):
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = z**2 / (prompts + z**2)
    return Interval(float(value - share * (value - lowest)), float(value + share * (highest - value)))


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """[resamples, m]: the means over as many prompts, drawn with replacement."""
    prompts, rng = len(values), np.random.default_rng(seed)
    rows = max(1, _BLOCK // prompts)
    means = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(prompts, size=(count, prompts)) + np.arange(count)[:, None] * prompts
        times = np.bincount(drawn.ravel(), minlength=count * prompts).reshape(count, prompts)
        means.append(times @ values / prompts)
    return np.concatenate(means)


def _expanded_tail(prompts: int, level: float) -> float:
    quantile = _student_quantile((1 + level) / 2, prompts - 1)
    return NormalDist().cdf(-quantile * sqrt(prompts / (prompts - 1)))


def _student_quantile(probability: float, freedom: int) -> float:
    """Of Student's t distribution, by its expansion around the normal one (Abramowitz and Stegun, 26.7.5).

    From 5 degrees of freedom on within 0.5 %. With fewer it is too small, which is of no consequence here:
    so far out, the means of so few prompts end.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom**power) for power, term in enumerate(terms, start=1))

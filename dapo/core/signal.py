"""Whether a group of completions carries a signal (DAPO, arXiv 2503.14476, Eq. 11)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dapo.types import Verdict

TOLERANCE = 1e-6
"""Scores that lie this close together are equal. A test on a standard deviation of exactly 0 would let
rounding noise through: the std of [0.1, 0.1, 0.1] is 1.4e-17 in float64."""


def has_signal(scores: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """True if the scores of a group differ. A group of one, or of none, has no signal."""
    return len(scores) > 1 and max(scores) - min(scores) > tolerance


def verdict(scores: Sequence[float], tolerance: float = TOLERANCE) -> Verdict:
    """What dynamic sampling makes of a group: uniform scores of at least 0.5 are all right."""
    if not scores:
        raise ValueError("a group without scores has no verdict: grade at least one completion")
    if has_signal(scores, tolerance):
        return "signal"
    return "all_right" if max(scores) >= 0.5 else "all_wrong"


def signal_probability(right: float, wrong: float, group_size: int) -> float:
    """P(a group of G is neither all right nor all wrong), for a pass rate p ~ Beta(right, wrong).

    1 - E[p^G] - E[(1 - p)^G], where E[p^G] = B(right + G, wrong) / B(right, wrong). 0 for a group of one.
    """
    if group_size < 2:
        return 0.0
    both = math.lgamma(right + wrong) - math.lgamma(right + wrong + group_size)
    all_right = math.exp(math.lgamma(right + group_size) - math.lgamma(right) + both)
    all_wrong = math.exp(math.lgamma(wrong + group_size) - math.lgamma(wrong) + both)
    return max(0.0, 1.0 - all_right - all_wrong)

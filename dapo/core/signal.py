"""Whether a group of completions carries a signal (DAPO, arXiv 2503.14476, Eq. 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Verdict = Literal["signal", "all_right", "all_wrong"]

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

"""Intervals of means over prompts: what they cover, and what they say where nothing varies."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from dapo.core.intervals import (
    UNBOUNDED,
    UNIT,
    Interval,
    average_interval,
    mean_interval,
    mean_intervals,
)

Z = 1.959964


def test_it_is_a_normal_interval_where_prompts_are_many() -> None:
    values = np.random.default_rng(1).random(400)
    found = mean_interval(values)
    assert found is not None
    error = np.std(values) / 400**0.5
    assert found.low == pytest.approx(values.mean() - Z * error, abs=0.08 * error)
    assert found.high == pytest.approx(values.mean() + Z * error, abs=0.08 * error)
    assert mean_interval(values) == found
    assert mean_interval(values, seed=1) != found
    narrow = mean_interval(values, level=0.5)
    assert narrow is not None and found.low < narrow.low < narrow.high < found.high


def test_figures_of_the_same_prompts_have_the_intervals_they_have_alone() -> None:
    values = np.random.default_rng(2).random((30, 3))
    for column, found in enumerate(mean_intervals(values, [UNIT] * 3)):
        alone = mean_interval(values[:, column])
        assert found is not None and alone is not None
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(20)
    whole = mean_interval(values)
    monkeypatch.setattr("dapo.core.intervals._BLOCK", 1000)
    blocks = mean_interval(values)
    assert whole is not None and blocks is not None
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


@pytest.mark.parametrize(
    ("prompts", "a", "b", "least"),
    [(20, 0.5, 0.5, 0.93), (30, 5, 5, 0.93), (60, 0.5, 2, 0.90), (10, 1, 1, 0.93)],
)
def test_it_covers_the_truth_about_as_often_as_it_says(
    prompts: int, a: float, b: float, least: float
) -> None:
    """Prompts whose chance of a right answer is drawn from a beta distribution, with 4 completions each.

    400 experiments: the share that covers has a standard error of about 1.1 %.
    """
    rng = np.random.default_rng(4)
    truth, covered = a / (a + b), 0
    for _ in range(400):
        values = rng.binomial(4, rng.beta(a, b, size=prompts)) / 4
        [found] = mean_intervals(values[:, None], [UNIT], resamples=1000)
        assert found is not None
        covered += found.low <= truth <= found.high
    assert least <= covered / 400 <= 0.99


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.2775), (1.0, 0.7225, 1.0)])
def test_all_right_and_all_wrong_have_wilson_s_interval(value: float, low: float, high: float) -> None:
    """Wilson's interval for 0 of 10 at 95 % is [0, 0.2775] (L. D. Brown et al., 2001; z^2 / (10 + z^2))."""
    found = mean_interval([value] * 10)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_one_prompt_says_little() -> None:
    """z^2 / (1 + z^2) = 3.8415 / 4.8415 = 0.79345 of the way to either end."""
    found = mean_interval([0.25])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.25 * (1 - 0.79345), 0.25 + 0.75 * 0.79345), abs=5e-5)


def test_equal_values_without_bounds_have_no_interval() -> None:
    assert mean_interval([12.0, 12.0], UNBOUNDED) is None
    assert mean_interval([12.0], UNBOUNDED) is None
    assert mean_interval([12.0, 12.0], (0.0, inf)) is None
    assert mean_interval([12.0, 13.0], UNBOUNDED) is not None


def test_the_average_of_independent_means() -> None:
    """Distances 0.06 and 0.08 below are 0.1 together, half of it for the mean of two; above 0 and 0.04."""
    found = average_interval([0.5, 0.9], [Interval(0.44, 0.5), Interval(0.82, 0.94)])
    assert (found.low, found.high) == pytest.approx((0.7 - 0.05, 0.7 + 0.02))
    assert average_interval([0.5], [Interval(0.4, 0.7)]) == Interval(pytest.approx(0.4), pytest.approx(0.7))


def test_impossible_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        mean_interval([])
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0], level=95)

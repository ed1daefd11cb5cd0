"""Which groups carry a signal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dapo.core.signal import has_signal, signal_probability, verdict


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 0, 0], "signal"),
        ([0.2, 0.4], "signal"),
        ([1, 1], "all_right"),
        ([0.5, 0.5], "all_right"),
        ([0.4, 0.4], "all_wrong"),
        ([0], "all_wrong"),
        ([1], "all_right"),
    ],
)
def test_verdicts(scores: list[float], expected: str) -> None:
    assert verdict(scores) == expected
    assert has_signal(scores) == (expected == "signal")


def test_rounding_noise_is_no_signal() -> None:
    constant = [0.1, 0.1, 0.1]
    assert np.std(constant) > 0
    assert not has_signal(constant)
    assert not has_signal([0.1 + 0.2, 0.3])
    assert has_signal([0.1 + 0.2, 0.3], tolerance=0.0)


def test_an_empty_group_has_no_signal_and_no_verdict() -> None:
    assert not has_signal([])
    with pytest.raises(ValueError, match="at least one completion"):
        verdict([])


@pytest.mark.parametrize(("right", "wrong"), [(0.2, 0.2), (1.0, 1.0), (0.2, 16.2), (7.3, 2.1)])
@pytest.mark.parametrize("group_size", [2, 5, 16])
def test_the_probability_of_a_signal_is_the_integral_over_the_posterior(
    right: float, wrong: float, group_size: int
) -> None:
    draws = np.random.default_rng(0).beta(right, wrong, 200_000)
    expected = np.mean(1 - draws**group_size - (1 - draws) ** group_size)
    assert signal_probability(right, wrong, group_size) == pytest.approx(expected, abs=0.005)


def test_the_probability_of_a_signal_under_the_uniform_prior_has_a_simple_form() -> None:
    """E[p^G] = 1 / (G + 1)."""
    for group_size in (1, 2, 7, 64):
        expected = 1 - 2 / (group_size + 1)
        assert signal_probability(1, 1, group_size) == pytest.approx(expected, abs=1e-12)


@given(st.floats(0.05, 500), st.floats(0.05, 500), st.integers(1, 128))
def test_the_probability_of_a_signal_grows_with_the_group_and_does_not_favour_a_side(
    right: float, wrong: float, group_size: int
) -> None:
    value = signal_probability(right, wrong, group_size)
    assert 0 <= value <= 1
    assert signal_probability(right, wrong, group_size + 1) >= value - 1e-9
    assert signal_probability(wrong, right, group_size) == pytest.approx(value, abs=1e-9)

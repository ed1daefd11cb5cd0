"""Paired comparisons: exact p-values by hand, against enumeration, and uniform where nothing differs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dapo.core import comparison
from dapo.core.comparison import compare, mcnemar_p, sign_flip_p


def test_a_p_value_by_hand() -> None:
    """|±1 ±1 ±2| >= 4 for +++ and ---: 2 of 8 patterns. 0 does not count: it has no sign."""
    assert sign_flip_p(np.array([1.0, 1.0, 0.0, 2.0]), steps=1) == (0.25, True)
    assert sign_flip_p(np.array([0.25, 0.25, 0.0, 0.5]), steps=4) == (0.25, True)
    assert sign_flip_p(np.array([1.0, -1.0]), steps=1) == (1.0, True)
    assert sign_flip_p(np.zeros(5), steps=1) == (1.0, True)


@pytest.mark.parametrize("seed", range(5))
def test_convolution_enumeration_and_every_pattern_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.integers(-6, 7, size=9) / 6
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=9)]
    expected = np.mean([value >= abs(differences.sum()) - 1e-9 for value in sums])
    assert sign_flip_p(differences, steps=6) == (pytest.approx(expected, abs=1e-12), True)
    assert sign_flip_p(differences) == (pytest.approx(expected, abs=1e-12), True)


def test_random_patterns_come_close_to_the_exact_value(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(7).integers(-3, 6, size=40) / 4
    exact, _ = sign_flip_p(differences, steps=4)
    estimated, is_exact = sign_flip_p(differences)
    assert not is_exact
    # Four standard errors of 20,000 random patterns.
    assert estimated == pytest.approx(exact, abs=4 * (exact * (1 - exact) / comparison.FLIPS) ** 0.5 + 1e-4)
    assert sign_flip_p(differences) == (estimated, False)
    monkeypatch.setattr(comparison, "_BLOCK", 4000)
    assert sign_flip_p(differences)[0] == pytest.approx(exact, abs=0.02)


def test_a_p_value_is_never_0() -> None:
    assert sign_flip_p(np.full(300, 1 / 7) + np.arange(300) * 1e-5)[0] == 1 / (comparison.FLIPS + 1)
    assert 0 < sign_flip_p(np.ones(1000), steps=1)[0] < 1e-300


def test_values_that_are_no_multiples_of_the_step_are_noticed() -> None:
    differences = np.array([0.1, 0.2, -0.15])
    assert sign_flip_p(differences, steps=4) == sign_flip_p(differences)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    """600 pairs of models of equal skill on 30 prompts: a share p of the p-values lies below p.

    With 32 completions the sums have many values, so that p-values are nearly continuous. The standard error
    is 2 % at one half, and 0.9 % at 0.05.
    """
    rng = np.random.default_rng(11)
    p_values = []
    for _ in range(600):
        skill = rng.beta(0.7, 0.7, size=30)
        differences = (rng.binomial(32, skill) - rng.binomial(32, skill)) / 32
        p_value, exact = sign_flip_p(differences, steps=32)
        assert exact
        p_values.append(p_value)
    for level, slack in ((0.05, 0.025), (0.25, 0.06), (0.5, 0.07), (0.75, 0.06)):
        assert abs(np.mean([p <= level for p in p_values]) - level) < slack


def test_a_difference_is_found() -> None:
    rng = np.random.default_rng(12)
    skill = rng.random(100)
    first, second = rng.binomial(8, skill * 0.7) / 8, rng.binomial(8, skill) / 8
    found = compare(first, second, steps=8)
    assert found.p_value < 1e-4 and found.exact
    assert found.interval is not None
    assert 0 < found.interval.low < found.difference < found.interval.high
    back = compare(second, first, steps=8)
    assert (back.difference, back.p_value) == pytest.approx((-found.difference, found.p_value))
    assert (back.wins, back.losses, back.ties) == (found.losses, found.wins, found.ties)


def test_wins_losses_and_ties() -> None:
    found = compare(np.array([0.0, 0.5, 1.0, 0.25]), np.array([1.0, 0.5, 0.5, 0.5]), steps=4)
    assert (found.wins, found.losses, found.ties, found.prompts) == (2, 1, 1, 4)
    assert (found.first, found.second, found.difference) == (0.4375, 0.625, 0.1875)


def test_pairing_makes_the_interval_narrow() -> None:
    """Prompts differ much, and one model is a little better on each: the difference is sure."""
    skill = np.random.default_rng(13).random(50)
    better = skill + np.random.default_rng(14).normal(0.05, 0.01, size=50)
    interval = compare(skill, better, bounds=(0, 2)).interval
    assert interval is not None
    assert 0.04 < interval.low < interval.high < 0.06


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (6, 2, 74 / 256), (3, 3, 1.0)]
)
def test_mcnemar_by_hand(wins: int, losses: int, p: float) -> None:
    """6 against 2: twice (1 + 8 + 28) of 256. It equals the permutation test for k = 1."""
    assert mcnemar_p(wins, losses) == mcnemar_p(losses, wins) == p
    differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 4)
    assert sign_flip_p(differences, steps=1)[0] == pytest.approx(p, abs=1e-12)
    found = compare(np.zeros_like(differences) + (differences < 0), (differences > 0).astype(float), steps=1)
    assert found.mcnemar == pytest.approx(found.p_value, abs=1e-12) == pytest.approx(p)


def test_equal_models_are_not_known_to_be_equal() -> None:
    """No prompt of 20 differs: up to 3.8415 / 23.8415 = 0.161 of all may."""
    values = np.linspace(0, 1, 20)
    found = compare(values, values.copy())
    assert (found.p_value, found.ties) == (1.0, 20)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((-0.1611, 0.1611), abs=5e-5)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="the same prompts"):
        compare(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="at least one"):
        compare(np.zeros(0), np.zeros(0))

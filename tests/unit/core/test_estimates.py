"""avg@k, pass@k, maj@k and intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dapo.core.estimates import avg_at_k, bootstrap_interval, majority, pass_at_k


def test_avg() -> None:
    assert avg_at_k([1, 0, 0.5, 0.5]) == 0.5
    with pytest.raises(ValueError, match="at least one score"):
        avg_at_k([])


@pytest.mark.parametrize("n", [1, 4, 6])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            draws = list(combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-15)


def test_pass_at_k_of_many_prompts() -> None:
    many = pass_at_k(32, [0, 1, 8], 8)
    assert many.tolist() == [pass_at_k(32, c, 8) for c in (0, 1, 8)]
    assert pass_at_k(np.array([4, 8]), np.array([1, 1]), 2).tolist() == [0.5, 0.25]
    assert pass_at_k(4, [], 2).shape == (0,)


def test_pass_at_k_is_exact_for_large_n() -> None:
    assert isinstance(pass_at_k(100_000, 1, 1), float)
    assert pass_at_k(100_000, 1, 1) == 1e-5
    assert pass_at_k(100_000, 1, 50_000) == 0.5
    assert pass_at_k(10_000, 3, 9_999) == 1.0
    # The survival of k draws multiplied out in another order.
    survival = np.prod([(90_000 - j) / (100_000 - j) for j in range(64)])
    assert pass_at_k(100_000, 10_000, 64) == pytest.approx(1 - survival, rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"k between 1|between 0 and n"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("answers", "scores", "expected"),
    [
        (["4", "5", "5"], [1, 0, 0], 0),
        (["5", "4", "4", "5"], [0, 1, 1, 0], 0),  # a tie: seen first
        ([None, None, None, "4"], [0, 0, 0, 1], 1),  # missing answers do not vote
        ([None, None], [0.25, 0], 0.25),
        (["4"], [1], 1),
    ],
)
def test_majority(answers: list[str | None], scores: list[float], expected: float) -> None:
    assert majority(answers, scores) == expected


def test_majority_needs_a_score_for_each_answer() -> None:
    for answers, scores in (([], []), (["1"], [1.0, 0.0])):
        with pytest.raises(ValueError, match="one score per answer"):
            majority(answers, scores)


def test_interval_is_deterministic_and_holds_the_mean() -> None:
    values = np.random.default_rng(1).random(50).tolist()
    low, high = bootstrap_interval(values)
    assert low < np.mean(values) < high
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    # A normal interval: 1.96 standard errors to either side.
    for width in (high - np.mean(values), np.mean(values) - low):
        assert width == pytest.approx(1.96 * np.std(values) / 50**0.5, rel=0.08)


def test_interval_of_equal_prompts_is_a_point() -> None:
    assert bootstrap_interval([0.25] * 3) == (0.25, 0.25)
    assert bootstrap_interval([1.0]) == (1.0, 1.0)


def test_impossible_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0], level=95)

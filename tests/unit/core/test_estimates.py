"""avg@k, pass@k and maj@k."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from dapo.core.estimates import avg_at_k, majority, pass_at_k


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
        (["5", "4", "4", "5"], [0, 1, 1, 0], 0.5),  # a tie is shared
        (["5", "4", "4", "5", "6"], [0, 1, 1, 0, 1], 0.5),  # among the most frequent only
        (["4", "5", "6", "7"], [1, 0, 0, 0], 0.25),
        (["4", "4"], [0.5, 1], 0.75),  # one answer, scored differently
        ([None, None, None, "4"], [0, 0, 0, 1], 1),  # missing answers do not vote
        ([None, None], [0.25, 0], 0.125),
        (["4"], [1], 1),
    ],
)
def test_majority(answers: list[str | None], scores: list[float], expected: float) -> None:
    assert majority(answers, scores) == expected


def test_a_shared_tie_is_what_the_first_of_a_random_order_gives() -> None:
    answers, right = ["4", "5", "4", "5", "6"], "4"

    def first_seen(order: tuple[str, ...]) -> float:
        return float(max(order, key=order.count) == right)  # max keeps the first of several

    orders = list(permutations(answers))
    scores = [float(answer == right) for answer in answers]
    assert majority(answers, scores) == sum(map(first_seen, orders)) / len(orders)


def test_majority_needs_a_score_for_each_answer() -> None:
    for answers, scores in (([], []), (["1"], [1.0, 0.0])):
        with pytest.raises(ValueError, match="one score per answer"):
            majority(answers, scores)

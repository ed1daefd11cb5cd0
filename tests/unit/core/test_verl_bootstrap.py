"""verl's bootstrap beside a plain reading of its definition, loop by loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from dapo.core.verl_bootstrap import sizes_of, verl_figures


def by_the_definition(scores: list[float], preds: list[str], n: int) -> dict[str, float]:
    """One draw at a time, from the global generator, as the definition has it."""
    np.random.seed(42)
    results = defaultdict(list)
    for _ in range(1000):
        drawn = np.random.choice(len(scores), size=n, replace=True)
        votes = defaultdict(list)
        for place in drawn:
            votes[preds[place]].append(scores[place])
        results["best"].append(max(scores[place] for place in drawn))
        results["worst"].append(min(scores[place] for place in drawn))
        results["maj"].append(max(votes.values(), key=len)[0])
    return {
        f"{kind}@{n}/{figure}": float(of(values))
        for kind, values in results.items()
        for figure, of in (("mean", np.mean), ("std", np.std))
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_figure_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(6).round(2).tolist()  # equal answers with different scores, too
    preds = [str(number) for number in rng.integers(3, size=6)]
    figures = verl_figures(scores, preds)
    assert figures.pop("mean@6") == pytest.approx(np.mean(scores))
    assert figures.pop("std@6") == pytest.approx(np.std(scores))
    expected = by_the_definition(scores, preds, 2) | by_the_definition(scores, preds, 4)
    assert figures == pytest.approx(expected | by_the_definition(scores, preds, 6), abs=1e-12)


def test_a_missing_answer_votes_as_invalid() -> None:
    assert verl_figures([0, 0, 1], [None, None, "4"]) == verl_figures([0, 0, 1], ["[INVALID]"] * 2 + ["4"])


def test_without_answers_there_is_no_majority() -> None:
    assert not any("maj" in name for name in verl_figures([0, 1], None))


def test_one_completion_has_a_mean_only() -> None:
    assert verl_figures([0.5], ["4"]) == {"mean@1": 0.5}


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    verl_figures([0, 1, 0], ["1", "2", "3"])
    assert np.random.random() == expected


@pytest.mark.parametrize(
    ("size", "sizes"), [(1, []), (2, [2]), (3, [2, 3]), (8, [2, 4, 8]), (12, [2, 4, 8, 12])]
)
def test_sizes(size: int, sizes: list[int]) -> None:
    assert sizes_of(size) == sizes

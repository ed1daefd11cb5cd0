"""best@n, worst@n and maj@n as verl's validation reports them, to the last digit.

For every prompt 1000 draws of n of its N completions, with replacement, from NumPy's old generator, seeded
with 42 anew for each prompt and n. With replacement best@n falls short of the unbiased pass@n: of 32
completions with one right, best@32 is 0.638 and pass@32 is 1. These figures are for comparisons with verl's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
SEED = 42
INVALID = "[INVALID]"
"""What verl's scorer puts in the place of an answer that is not there. It votes like any other."""


def verl_figures(scores: Sequence[float], answers: Sequence[str | None] | None) -> dict[str, float]:
    """Of the N completions of one prompt, by the names that stand behind the last slash but one.

    `mean@N`; with N > 1 also `std@N`, and for n = 2, 4, 8, ..., N `best@n/mean`, `best@n/std`, `worst@n/...`
    and, where there are answers, `maj@n/...`: a draw's most frequent answer has the score of its first
    occurrence, and of several the one drawn first wins. Standard deviations are those of a population.
    """
    values, size = np.asarray(scores, dtype=np.float64), len(scores)
    figures = {f"mean@{size}": float(values.mean())}
    if size == 1:
        return figures
    figures[f"std@{size}"] = float(values.std())
    for n in sizes_of(size):
        drawn = values[_draws(size, n)]
        found = {"best": drawn.max(axis=1), "worst": drawn.min(axis=1)}
        if answers is not None:
            found["maj"] = _first_majority(values, answers, _draws(size, n))
        for name, results in found.items():
            figures[f"{name}@{n}/mean"] = float(results.mean())
            figures[f"{name}@{n}/std"] = float(results.std())
    return figures


def sizes_of(size: int) -> list[int]:
    """2, 4, 8, ... below `size`, and `size`."""
    powers = [2**power for power in range(1, size.bit_length()) if 2**power < size]
    return [*powers, size] if size > 1 else []


@lru_cache(maxsize=64)
def _draws(size: int, n: int) -> NDArray[np.integer[Any]]:
    return np.random.RandomState(SEED).choice(size, size=(DRAWS, n), replace=True)


def _first_majority(
    values: NDArray[np.float64], answers: Sequence[str | None], draws: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """[DRAWS]: the score of the most frequent answer of each draw."""
    numbers: dict[str, int] = {}
    codes = np.array(
        [numbers.setdefault(INVALID if answer is None else answer, len(numbers)) for answer in answers]
    )
    drawn = codes[draws]
    places = drawn + np.arange(len(drawn))[:, None] * len(numbers)
    votes = np.bincount(places.ravel(), minlength=len(drawn) * len(numbers))
    winner = votes[places].argmax(axis=1)  # argmax takes the first of several
    result: NDArray[np.float64] = values[draws[np.arange(len(draws)), winner]]
    return result

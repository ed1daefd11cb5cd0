"""What k sampled answers say about a model: avg@k, pass@k, maj@k and intervals over prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import comb
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Counts = Sequence[int] | NDArray[np.integer[Any]]


def avg_at_k(scores: Sequence[float]) -> float:
    """Mean score of the k completions of one prompt: an estimate of pass@1."""
    if not scores:
        raise ValueError("avg@k needs at least one score")
    return sum(scores) / len(scores)


@overload
def pass_at_k(n: int, c: int, k: int) -> float: ...


@overload
def pass_at_k(n: int | Counts, c: Counts, k: int) -> NDArray[np.float64]: ...


def pass_at_k(n: int | Counts, c: int | Counts, k: int) -> float | NDArray[np.float64]:
    """Chance that one of k completions is right, of n per prompt of which c are (arXiv 2107.03374, Eq. 1).

    1 - C(n - c, k) / C(n, k), unbiased: a float for one prompt, an array for many, with one `n` for all
    of them or one for each. Computed in exact integers, so that large n neither overflow nor lose digits.
    Raises ValueError unless 1 <= k <= n and 0 <= c <= n everywhere.
    """
    sizes, right = np.broadcast_arrays(np.asarray(n), np.asarray(c))
    if k < 1 or (sizes < k).any():
        raise ValueError(f"pass@{k} needs k between 1 and the number of completions of every prompt")
    if (right < 0).any() or (right > sizes).any():
        raise ValueError("c must lie between 0 and n: it counts the right ones of n completions")
    values = [
        _pass_at_k(int(size), int(count), k) for size, count in zip(sizes.flat, right.flat, strict=True)
    ]
    return np.array(values, dtype=np.float64).reshape(sizes.shape) if sizes.shape else values[0]


@lru_cache(maxsize=4096)
def _pass_at_k(n: int, c: int, k: int) -> float:
    choices = comb(n, k)
    return (choices - comb(n - c, k)) / choices


def majority(answers: Sequence[str | None], scores: Sequence[float]) -> float:
    """maj@k of one prompt: the score of the most frequent answer.

    Ties go to the answer seen first, and its score is that of its first occurrence. A completion without
    an answer (None) does not vote, unless none has one.
    """
    if not answers or len(answers) != len(scores):
        raise ValueError(f"maj@k needs one score per answer, not {len(scores)} for {len(answers)}")
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return scores[0]
    winner, _ = votes.most_common(1)[0]
    return scores[answers.index(winner)]


def bootstrap_interval(
    per_prompt_values: Sequence[float], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over prompts: how much it depends on their choice."""
    if not per_prompt_values:
        raise ValueError("an interval needs the value of at least one prompt")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, but it is {level}")
    values = np.asarray(per_prompt_values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

"""What k sampled answers say about a model: avg@k, pass@k and maj@k of a prompt."""

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
    """maj@k of one prompt: the score of the most frequent of its k answers. An answer's score is the mean
    over the completions that give it.

    Ties are shared: between several most frequent answers the result is the mean of their scores. That is
    what the usual rule (the answer seen first wins) gives on average over all orders of the completions,
    without the chance of one order. A completion without an answer (None) does not vote; where none has
    one, every completion is as good a choice as any other, and the result is the mean of all scores.
    """
    if not answers or len(answers) != len(scores):
        raise ValueError(f"maj@k needs one score per answer, not {len(scores)} for {len(answers)}")
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return avg_at_k(scores)
    most = max(votes.values())
    winners = {answer for answer, count in votes.items() if count == most}
    # Every winner has as many completions, so the mean over them all is the mean of their scores.
    return avg_at_k([score for answer, score in zip(answers, scores, strict=True) if answer in winners])

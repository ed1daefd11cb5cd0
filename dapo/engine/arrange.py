"""In which order sequences of different length lie in the batch, so that attention reads little padding.

Attention reads a block of neighbouring rows up to the longest of them. Lengths are in tokens, and so is
the cost of reading: rows times columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dapo.engine.decoder import Integers

CALL = 1000
"""What one more call of the attention costs, in tokens it could have read (measured: about 20 us)."""

LOOK_EVERY = 8
"""Ticks between two looks at the order: a look takes about as long as a call."""


def blocks(lengths: Integers) -> list[tuple[int, int, int]]:
    """Cut rows of these lengths into blocks (first row, row behind the last, columns).

    A block ends where a quarter of the columns falls away, if the rows behind it save more than another
    call costs.
    """
    if not len(lengths):
        return []
    longest = np.maximum.accumulate(lengths[::-1])[::-1]
    found, start, count = [], 0, len(lengths)
    behind = np.arange(count, 0, -1)
    while start < count:
        columns = int(longest[start])
        worth = (columns - longest[start:]) * behind[start:] > CALL
        short = worth & (longest[start:] <= 0.75 * columns)
        stop = start + int(np.argmax(short)) if short.any() else count
        found.append((start, stop, columns))
        start = stop
    return found


def cost(lengths: Integers) -> int:
    """What attention reads of rows in this order, and its calls."""
    cut = blocks(lengths)
    return sum((stop - start) * columns for start, stop, columns in cut) + CALL * len(cut)


class Arrangement:
    """Decides when to put rows in order again: when disorder has cost as much as putting them in order.

    Asked whenever a sequence ends, for rows move then anyway. Where that happens often, the whole cost is
    at most about twice that of the best moment (ski rental).
    """

    def __init__(self) -> None:
        self._paid = 0
        self._ticks = 0

    def tick(self, lengths: Integers) -> None:
        """Attention reads rows of these lengths once, in this order. Looked at every few ticks, for all."""
        self._ticks += 1
        if self._ticks == LOOK_EVERY:
            self._paid += LOOK_EVERY * max(0, cost(lengths) - cost(-np.sort(-lengths)))
            self._ticks = 0

    def without(self, lengths: Integers, ended: Sequence[int]) -> Integers:
        """The rows that stay when these end, in their new order: the longest first when it pays.

        Otherwise rows from the end take the places of those that have ended, which moves the least.
        """
        stay = np.ones(len(lengths), dtype=bool)
        stay[list(ended)] = False
        if self._paid > 2 * int(lengths[stay].sum()):
            self._paid = 0
            rows = np.flatnonzero(stay)
            return rows[np.argsort(-lengths[rows], kind="stable")]
        count = int(stay.sum())
        order = np.arange(count)
        order[~stay[:count]] = np.flatnonzero(stay[count:]) + count
        return order

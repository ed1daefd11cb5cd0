"""Keys and values of the sequences in flight: a row (slot) for each, the token at position p in column p."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dapo.engine.decoder import Integers


class SlotCache:
    """Preallocated parts [layers, slots + 1, heads, columns, dimension], by the shapes of their tokens.

    The last row holds a beginning for sequences that join later. On the CPU, memory is taken when it is
    first written to; elsewhere at once.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int, int]], slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """`shapes` are (layers, heads, dimension) of each part."""
        self._shapes, self._rows, self._dtype, self._device = shapes, slots + 1, dtype, device
        self.columns = 0
        self.parts = self._empty(0)

    def reserve(self, columns: int, rows: int) -> bool:
        """Make room for sequences of so many tokens; the first `rows` and the last keep what they hold.

        Returns whether the memory has moved.
        """
        if columns <= self.columns:
            return False
        old, width = self.parts, self.columns
        self.columns = max(columns, min(2 * width, width + 1024))
        self.parts = self._empty(self.columns)
        for new, part in zip(self.parts, old, strict=True):
            new[:, :rows, :, :width] = part[:, :rows]
            new[:, -1, :, :width] = part[:, -1]
        return True

    def spread(self, source: int, start: int, stop: int, columns: int) -> None:
        """Copy the first columns of a row to the rows from `start` to before `stop`."""
        if stop > start:
            for part in self.parts:
                part[:, start:stop, :, :columns] = part[:, source : source + 1, :, :columns]

    def arrange(self, order: Integers, lengths: Integers) -> None:
        """Put the rows in this order: row i gets what row order[i] held, which is so many tokens long."""
        targets = np.flatnonzero(order != np.arange(len(order))).tolist()
        sources = [int(order[target]) for target in targets]
        overlap = bool(set(sources) & set(targets))
        for part in self.parts:
            moved = [part[:, row, :, : lengths[row]] for row in sources]
            if overlap:
                moved = [values.clone() for values in moved]
            for target, values in zip(targets, moved, strict=True):
                part[:, target, :, : values.shape[2]] = values

    def release(self) -> None:
        """Give the memory back."""
        self.columns, self.parts = 0, self._empty(0)

    def _empty(self, columns: int) -> list[Tensor]:
        # Zeros, for what is masked is multiplied by 0, and memory may hold what is not a number.
        return [
            torch.zeros(
                (layers, self._rows, heads, columns, dimension), dtype=self._dtype, device=self._device
            )
            for layers, heads, dimension in self._shapes
        ]

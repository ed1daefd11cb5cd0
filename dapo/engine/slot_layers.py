"""The slots as transformers sees them: the cache that its attention modules write to and read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import CacheLayerMixin


@dataclass
class Window:
    """What a forward pass sees of the slots: a token for each of the first rows, and the columns it reads."""

    rows: Tensor
    """int64 [n]: 0, 1, ... n - 1."""
    positions: Tensor
    """int64 [n]: the column each row's token is written to."""
    columns: int


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values [slots, heads, columns, dimension], seen through a window."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, window: Window) -> None:
        super().__init__()
        self.keys, self.values, self.window, self.is_initialized = keys, values, window, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("slots are made before they are used")

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token [n, heads, 1, dimension] for each row; returns the rows up to the last column."""
        window, count = self.window, len(self.window.rows)
        self.keys[window.rows, :, window.positions] = key_states[:, :, 0].to(self.keys.dtype)
        self.values[window.rows, :, window.positions] = value_states[:, :, 0].to(self.values.dtype)
        return self.keys[:count, :, : window.columns], self.values[:count, :, : window.columns]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.window.columns, 0

    def get_seq_length(self) -> int:
        return self.window.columns - 1

    def get_max_length(self) -> int:
        return int(self.keys.shape[2])

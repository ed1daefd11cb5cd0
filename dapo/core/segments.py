"""Which sequence each token belongs to, for tensors that hold the tokens of many sequences in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Segments:
    """N tokens of `count` sequences, laid out in any order. A sequence may have no token at all."""

    index: Tensor
    """int64 [N]: number of the sequence each token belongs to, in [0, count)."""
    count: int
    """Number of sequences, those without a token included."""

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: torch.device | str | None = None) -> Segments:
        """Sequences of these lengths in tokens, one behind the other."""
        if any(length < 0 for length in lengths):
            raise ValueError(f"lengths must be at least 0, but they are {list(lengths)}")
        sizes = torch.tensor(lengths, dtype=torch.int64)
        index = torch.repeat_interleave(torch.arange(len(lengths)), sizes)
        return cls(index.to(device=device), len(lengths))

    def lengths(self) -> Tensor:
        """int64 [count]: tokens of each sequence."""
        return self.sum(torch.ones_like(self.index))

    def sum(self, values: Tensor) -> Tensor:
        """[N] -> [count]: sum of `values` over the tokens of each sequence, 0 where it has none."""
        return values.new_zeros(self.count).index_add(0, self.index, values)

    def mean(self, values: Tensor) -> Tensor:
        """[N] -> [count]: mean of `values` over the tokens of each sequence, 0 where it has none."""
        return self.sum(values) / self.lengths().clamp(min=1)

    def expand(self, per_sequence: Tensor) -> Tensor:
        """[count] -> [N]: to each token the value of its sequence."""
        return per_sequence[self.index]

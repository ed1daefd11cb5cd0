"""What decodes a batch of sequences, and which of the three ways serves a model.

`FusedDecoder` is an own forward pass for Llama's relatives, `SlottedDecoder` runs the model's own modules
over the same kind of cache, `WaveDecoder` serves every other causal model, one batch after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

Context = Callable[[], AbstractContextManager[object]]
"""Opens the autocast region that forward passes of the model's own modules run in."""

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class New:
    """Sequences that join the batch: all with the same beginning, which is read once."""

    ids: Sequence[int] | None
    """What the rows have read. None: what was held last."""
    copies: int
    """How many rows begin with it."""
    hold: bool = False
    """Keep what was read, for rows that begin later. One beginning is held at a time."""


class Decoder(Protocol):
    """Gives the logits of the next token of every sequence of a batch that grows and shrinks.

    The rows of the batch are numbered from 0; new ones come behind the others.
    """

    slots: int

    def open(self) -> None:
        """Begin without sequences, over the weights that the model has now."""
        ...

    @property
    def room(self) -> int:
        """How many sequences may join at the next step."""
        ...

    def step(self, tokens: Tensor, new: Sequence[New], longest: int) -> Tensor:
        """Append to each row its last token, and read what is new.

        Args:
            tokens: int64 [rows], on the CPU: the tokens drawn last, in the order of the rows.
            new: what joins, `room` copies at most.
            longest: no row will ever hold more tokens than this.

        Returns:
            Logits float [rows + copies, V] of the next token of each row, the new ones behind the others.
        """
        ...

    def drop(self, ended: Sequence[int]) -> Integers:
        """Take these rows out of the batch. Returns the rows that stay, in their new order."""
        ...

    def close(self) -> None:
        """Forget all sequences, and give back memory that the learner may need."""
        ...

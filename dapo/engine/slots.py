"""Decoders over a slotted cache: which row holds what, and what rows that begin share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dapo.engine.arrange import Arrangement
from dapo.engine.cache import SlotCache
from dapo.engine.decoder import Integers, New


@dataclass(frozen=True)
class Read:
    """A new sequence, and the row that its keys and values go to."""

    ids: Sequence[int]
    row: int


@dataclass(frozen=True)
class Held:
    """A beginning kept in the cache's last row: its length, and the logits [V] behind it."""

    length: int
    logits: Tensor


class SlotDecoder(ABC):
    """What the decoders over slots have in common: see `dapo.engine.decoder.Decoder`."""

    def __init__(self, cache: SlotCache, slots: int, device: torch.device) -> None:
        self.cache, self.slots, self.device = cache, slots, device
        self.lengths = np.zeros(slots, dtype=np.int64)
        """Tokens in the cache, by row."""
        self.rows = 0
        self.arrangement = Arrangement()
        self._held: Held | None = None

    @property
    def room(self) -> int:
        return self.slots - self.rows

    @abstractmethod
    def _compute(self, tokens: Tensor, reads: Sequence[Read]) -> Tensor:
        """Logits [rows + reads, V] behind the rows' last tokens, which are given, and behind what is read."""

    @abstractmethod
    def _moved(self) -> None:
        """The cache lies elsewhere in memory now, or has more columns."""

    def open(self) -> None:
        self.close()

    @torch.inference_mode()
    def step(self, tokens: Tensor, new: Sequence[New], longest: int) -> Tensor:
        if self.cache.reserve(longest, self.rows):
            self._moved()
        reads = _reads(new, self.rows)
        logits = self._compute(tokens, reads) if len(tokens) or reads else self._nothing()
        self.lengths[: self.rows] += 1
        return self._begin(logits, new) if new else logits

    @torch.inference_mode()
    def drop(self, ended: Sequence[int]) -> Integers:
        lengths = self.lengths[: self.rows]
        order = self.arrangement.without(lengths, ended)
        self.cache.arrange(order, lengths)
        self.lengths[: len(order)] = lengths[order]
        self.rows = len(order)
        return order

    def close(self) -> None:
        self.rows, self._held = 0, None
        self.arrangement = Arrangement()  # a resumed run has rows in the same order as the undisturbed one
        if self.device.type == "cuda":
            self.cache.release()

    def _nothing(self) -> Tensor:
        """Logits [0, V]: all rows have ended, and those that begin were read before."""
        assert self._held is not None
        return self._held.logits.unsqueeze(0)[:0]

    def _begin(self, logits: Tensor, new: Sequence[New]) -> Tensor:
        """Give every row that begins what was read for it. Returns the logits [rows, V] of all rows."""
        order = list(range(self.rows))
        read = self.rows
        for item in new:
            start, stop = self.rows, self.rows + item.copies
            if item.ids is None:
                assert self._held is not None
                length, source = self._held.length, len(logits)
                logits = torch.cat([logits, self._held.logits.unsqueeze(0)])
                self.cache.spread(self.slots, start, stop, length)
            else:
                length, source = len(item.ids), read
                self.cache.spread(start, start + 1, stop, length)
                read += 1
            if item.hold and item.ids is not None:
                self.cache.spread(start, self.slots, self.slots + 1, length)
                self._held = Held(length, logits[source].clone())
            self.lengths[start:stop] = length
            self.rows = stop
            order += [source] * item.copies
        return logits[torch.tensor(order, device=self.device)]


def _reads(new: Sequence[New], first_row: int) -> list[Read]:
    """What has to be read; each goes to the first of the rows that begin with it."""
    found, row = [], first_row
    for item in new:
        if item.ids is not None:
            found.append(Read(item.ids, row))
        row += item.copies
    return found


def chunks(reads: Sequence[Read], budget: int) -> list[list[Read]]:
    """Neighbours whose padded size fits the budget in tokens; a single one always does."""
    found: list[list[Read]] = []
    widest = 0
    for read in reads:
        longest = max(widest, len(read.ids))
        if found and longest * (len(found[-1]) + 1) <= budget:
            found[-1].append(read)
            widest = longest
        else:
            found.append([read])
            widest = len(read.ids)
    return found

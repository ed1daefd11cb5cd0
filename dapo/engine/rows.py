"""The sequences in flight as arrays: what each has drawn, and which of them end with a tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapo.engine.decoder import Integers
from dapo.engine.noise import uniforms
from dapo.types import Completion, Group

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass
class Flight:
    """A completion on its way: what it belongs to, and the key of its noise."""

    group: Group
    completion: Completion
    key: int

    @property
    def fresh(self) -> bool:
        """Whether it has no token yet: then it begins with the prompt alone, like its siblings."""
        return not self.completion.token_ids

    def context_ids(self) -> list[int]:
        return [*self.group.prompt.token_ids, *self.completion.token_ids]


class Rows:
    """Completions in the order of the decoder's rows.

    Tokens and log-probabilities are collected in lines of two arrays, and written into the completions
    when they end or are handed back: a Python list would cost more time than a small model.
    """

    def __init__(self, slots: int) -> None:
        self.flights: list[Flight] = []
        self._line = np.arange(slots)
        """Line of each row; those behind the last row are free."""
        self._drawn = np.zeros(slots, dtype=np.int64)
        """By line: tokens of the completion so far; `_begun` of them from before this generation."""
        self._begun = np.zeros(slots, dtype=np.int64)
        self._limit = np.zeros(slots, dtype=np.int64)
        self._keys = np.zeros(slots, dtype=np.int64)
        self._tokens = np.zeros((slots, 0), dtype=np.int64)
        self._logprobs = np.zeros((slots, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.flights)

    def add(self, flights: Sequence[Flight]) -> None:
        for flight in flights:
            line = self._line[len(self.flights)]
            begun, limit = len(flight.completion), flight.group.prompt.max_completion_tokens
            self._drawn[line] = self._begun[line] = begun
            self._limit[line], self._keys[line] = limit, flight.key
            self._reserve(limit - begun)
            self.flights.append(flight)

    def uniforms(self, device: torch.device) -> Tensor:
        """The noise of the next token of each row, float [rows]."""
        lines = self._lines
        if device.type == "mps":  # it has no float64
            coarse = uniforms(self._keys[lines], self._drawn[lines], bits=23)
            return torch.from_numpy(coarse).float().to(device)
        return torch.from_numpy(uniforms(self._keys[lines], self._drawn[lines])).to(device)

    def append(self, tokens: Integers, logprobs: Floats) -> None:
        """A token for each row."""
        lines = self._lines
        places = self._drawn[lines] - self._begun[lines]
        self._tokens[lines, places], self._logprobs[lines, places] = tokens, logprobs
        self._drawn[lines] += 1

    @property
    def drawn(self) -> Integers:
        """Tokens of each row's completion so far."""
        return self._drawn[self._lines]

    @property
    def at_limit(self) -> list[int]:
        """Rows whose completion may not grow any more."""
        return np.flatnonzero(self._drawn[self._lines] >= self._limit[self._lines]).tolist()

    def tail(self, row: int, count: int) -> list[int]:
        """The last tokens of a row's completion, `count` at most."""
        line = self._line[row]
        fresh = int(self._drawn[line] - self._begun[line])
        new: list[int] = self._tokens[line, max(0, fresh - count) : fresh].tolist()
        missing = count - len(new)
        return [*self.flights[row].completion.token_ids[-missing:], *new] if missing > 0 else new

    def write(self, rows: Sequence[int], version: int) -> None:
        """Put what was drawn since `add` into the completions, as tokens of this policy."""
        for row in rows:
            line, completion = self._line[row], self.flights[row].completion
            count = int(self._drawn[line] - self._begun[line])
            completion.token_ids += self._tokens[line, :count].tolist()
            completion.sampler_logprobs += self._logprobs[line, :count].tolist()
            completion.policy_versions += [version] * count
            completion.trainable += [True] * count

    def keep(self, order: Integers) -> None:
        """Go on with these rows, in this order."""
        lines, count = self._lines, len(self.flights)
        free = np.setdiff1d(lines, lines[order], assume_unique=True)
        self._line[:count] = np.concatenate([lines[order], free])
        self.flights = [self.flights[row] for row in order]

    @property
    def _lines(self) -> Integers:
        return self._line[: len(self.flights)]

    def _reserve(self, width: int) -> None:
        missing = width - self._tokens.shape[1]
        if missing > 0:
            self._tokens = np.pad(self._tokens, ((0, 0), (0, missing)))
            self._logprobs = np.pad(self._logprobs, ((0, 0), (0, missing)))

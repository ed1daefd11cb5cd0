"""Decoding recorded as CUDA graphs: a step of a small model is bound by launching its kernels one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

FEWEST_ROWS, FEWEST_COLUMNS = 8, 256

Forward = Callable[[Tensor, Tensor, int], Tensor]
"""Token ids [n] and positions [n] of rows 0 to n - 1, and the columns that attention reads, to logits [n, V].
Reads and writes nothing on the host."""


def bucket(value: int, fewest: int, most: int) -> int:
    """The next power of two, between `fewest` and `most`."""
    return min(max(fewest, 1 << (value - 1).bit_length()), most)


class DecodeGraphs:
    """Records a forward pass for each bucket of rows and columns when it is first met, and replays it.

    Rows of a bucket that are not in use decode a token at position 0 of their slot, which is free: what a
    sequence writes there when it begins replaces it.
    """

    def __init__(self, forward: Forward, slots: int, device: torch.device) -> None:
        self._forward, self._slots = forward, slots
        self._tokens = torch.zeros(slots, dtype=torch.int64, device=device)
        self._positions = torch.zeros(slots, dtype=torch.int64, device=device)
        self._recorded: dict[tuple[int, int], tuple[Any, Tensor]] = {}
        self._pool: Any = None

    def __call__(self, tokens: Tensor, positions: Tensor, columns: int, most_columns: int) -> Tensor:
        """Logits [n, V] of rows 0 to n - 1; they hold until the next call."""
        count = len(tokens)
        rows = bucket(count, FEWEST_ROWS, self._slots)
        self._tokens[:count].copy_(tokens)
        self._positions[:count].copy_(positions)
        self._positions[count:rows] = 0
        key = rows, bucket(columns, FEWEST_COLUMNS, most_columns)
        if key not in self._recorded:
            self._recorded[key] = self._record(*key)
        graph, logits = self._recorded[key]
        graph.replay()
        return logits[:count]

    def forget(self) -> None:
        """The memory that was recorded has moved."""
        self._recorded, self._pool = {}, None

    def _record(self, rows: int, columns: int) -> tuple[Any, Tensor]:
        arguments = self._tokens[:rows], self._positions[:rows], columns
        # Once outside, on a stream of its own: libraries allocate workspaces at the first call.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._forward(*arguments)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = self._forward(*arguments)
        self._pool = graph.pool()
        return graph, logits

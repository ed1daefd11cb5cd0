"""The memory of one sampler rank: weights, the copy it computes with, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dapo.planning.activations import FULL
from dapo.planning.layout import Layout
from dapo.planning.shape import ModelShape

HALF = 2
"""Bytes of a bfloat16, which vLLM holds weights and cache in."""


@dataclass(frozen=True)
class Flight:
    """Sequences in flight, and how long one may become in tokens."""

    slots: int | None
    """None: as many as fit, up to `most`."""
    tokens: int
    most: int
    """The engine's own limit where slots are left out."""


@dataclass(frozen=True)
class SamplerMemory:
    """Bytes of one rank by what they are for, and the sequences in flight they make room for."""

    parts: Mapping[str, float]
    slots: int
    sequence: float
    """Bytes of the keys and values of one sequence at its full length."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def sampler_memory(
    shape: ModelShape, layout: Layout, flight: Flight, width: int, room: float, borrows: bool
) -> SamplerMemory:
    """Of a rank with `room` bytes for it. `width` is the bytes of a number in products; a sampler that
    `borrows` reads the learner's weights, which lie whole on the same GPU."""
    if layout.engine == "vllm":
        return _vllm(shape, layout, flight, room)
    copy = (shape.layer_matrices + (shape.head if width < FULL else 0)) * width
    parts = {"weights": 0.0 if borrows else shape.parameters * FULL, "compute copy": float(copy)}
    sequence = 2 * shape.layers * shape.keys * width * flight.tokens
    fit = int((room - sum(parts.values())) // sequence) - 1
    slots = flight.slots or max(1, min(flight.most, fit))
    # One row more than slots holds a beginning that sequences share.
    return SamplerMemory(parts | {"cache": (slots + 1) * sequence}, slots, sequence)


def _vllm(shape: ModelShape, layout: Layout, flight: Flight, room: float) -> SamplerMemory:
    """vLLM takes its share at once: what weights leave of it is cache, in pages."""
    size = layout.sampler_tensor_parallel
    weights = shape.parameters * HALF / size
    sequence = 2 * shape.layers * shape.keys * HALF * flight.tokens / min(size, shape.key_value_heads)
    cache = max(layout.gpu_memory_utilization * room - weights, sequence)
    slots = min(flight.slots or flight.most, max(1, int(cache // sequence)))
    return SamplerMemory({"weights": weights, "cache": cache}, slots, sequence)

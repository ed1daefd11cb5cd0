"""What the forward pass keeps for the backward pass, tensor by tensor, in bytes.

The terms are those of transformers' decoder layers under autocast over float32 weights: the residual stream
and the norms stay in float32, products are in the compute dtype, and every product in bfloat16 casts its
input for itself. docs/plan.md derives each.
"""

from __future__ import annotations

from dataclasses import dataclass

from dapo.planning.shape import ModelShape

FULL = 4
"""Bytes of a float32, which weights, gradients, norms and the residual stream are held in."""
INDEX = 8


@dataclass(frozen=True)
class BatchShape:
    """What one forward pass reads."""

    tokens: int
    """Places in norms and products: a shared prompt counts once, padding counts."""
    places: int
    """Places in attention's padded rows: a shared prompt counts for each of its completions."""
    predicted: int
    """Completion tokens whose log-probabilities are computed."""
    shared: bool


@dataclass(frozen=True)
class Compute:
    """How a model is computed."""

    width: int
    """Bytes of a number in products: 4, or 2 under autocast."""
    checkpointing: bool
    linear_head: bool = True
    """Logits are the product of hidden states and head: they are computed in blocks."""
    tensor_parallel: int = 1

    @property
    def casts(self) -> bool:
        return self.width < FULL


def norm_bytes(tokens: float, width: float, kept: int = FULL) -> float:
    """RMSNorm: its input in float32, the normalised values, a scale for each row."""
    return tokens * (width * (FULL + kept) + FULL)


def layer_bytes(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    """Kept by one layer on average."""
    mixed = shape.expert_layers / shape.layers
    feed = (1 - mixed) * _dense(shape, batch, compute)
    if mixed:
        feed += mixed * _experts(shape, batch, compute)
    return 2 * norm_bytes(batch.tokens, shape.hidden) + _attention(shape, batch, compute) + feed


def _inputs(shape: ModelShape, batch: BatchShape, compute: Compute, products: int) -> float:
    """Of several products with the same input: one tensor, or a cast for each."""
    return batch.tokens * shape.hidden * compute.width * (products if compute.casts else 1)


def _attention(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    width, queries, keys = compute.width, shape.queries, shape.keys
    split = batch.places * (2 * queries + 2 * keys) * width + batch.places * shape.heads * FULL
    if batch.shared:
        split += batch.tokens * queries * width  # what attention gives, collected for the output product
    if shape.norms_queries:
        rows = shape.heads + shape.key_value_heads
        split += batch.tokens * ((queries + keys) * (FULL + width) + rows * FULL)
    return _inputs(shape, batch, compute, 3) + split / compute.tensor_parallel


def _dense(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    """Gate, its activation, up, and their product."""
    inner = 4 * batch.tokens * shape.feed_forward * compute.width / compute.tensor_parallel
    return _inputs(shape, batch, compute, 2) + inner


def _experts(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    """Grouped products work in the dtype of the weights, float32, also under autocast."""
    routed = batch.tokens * shape.experts_per_token
    router = batch.tokens * (shape.hidden * compute.width + shape.experts * FULL)
    order = routed * (4 * INDEX + 2 * FULL)
    inner = routed * 4 * shape.expert_width * FULL / compute.tensor_parallel
    return router + order + routed * 2 * shape.hidden * FULL + inner


def checkpoint_bytes(shape: ModelShape, batch: BatchShape) -> float:
    """What is kept of a layer that is computed again: its input."""
    return batch.tokens * shape.hidden * FULL


def once_bytes(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    """Kept outside of layers: the last norm, the rotary embedding's angles, the chosen hidden states."""
    last = norm_bytes(batch.tokens, shape.hidden)
    angles = 2 * batch.tokens * shape.head_dimension * FULL
    chosen = batch.predicted * (shape.hidden * compute.width + 3 * INDEX)
    return last + angles + chosen + 2 * batch.tokens * INDEX


def backward_bytes(shape: ModelShape, batch: BatchShape, compute: Compute) -> float:
    """Gradients of activations that a layer's backward pass holds at its height."""
    stream = 2 * batch.tokens * shape.hidden * FULL
    if shape.expert_layers:
        routed = batch.tokens * shape.experts_per_token
        return stream + routed * FULL * max(shape.hidden, 2 * shape.expert_width / compute.tensor_parallel)
    return stream + batch.tokens * shape.feed_forward * compute.width / compute.tensor_parallel

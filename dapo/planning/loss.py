"""What the loss stage takes, from hidden states to log-probabilities and back to their gradient, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from dapo.core.linear_logprobs import Block
from dapo.core.logprobs import CHUNK_VALUES
from dapo.planning.activations import FULL, BatchShape, Compute
from dapo.planning.shape import ModelShape


@dataclass(frozen=True)
class LossBytes:
    """At three moments. The gradient of the head's weight is not among them."""

    forward: float
    """At the height of the forward pass."""
    kept: float
    """Between forward and backward pass."""
    backward: float
    """At the height of the backward pass, what was kept included."""


def loss_bytes(shape: ModelShape, batch: BatchShape, compute: Compute) -> LossBytes:
    """Of one batch; the head is split over tensor-parallel ranks by words."""
    words = -(-shape.vocabulary // compute.tensor_parallel)
    if not compute.linear_head:
        return _plain(batch.predicted * words, compute)
    block = Block.for_vocabulary(words)
    if batch.predicted <= block.tokens and words <= block.vocabulary:
        return _one_piece(batch.predicted * words, words * shape.hidden, compute)
    return _blocks(shape, batch, compute, block, words)


def _plain(logits: float, compute: Compute) -> LossBytes:
    """Logits, those of predicting places, and the gradient of both; softmax goes chunk by chunk."""
    chunks = 4 * FULL * min(logits, CHUNK_VALUES)
    held = 2 * logits * compute.width
    return LossBytes(held + chunks, held, held + max(logits * compute.width, chunks))


def _one_piece(logits: float, head: float, compute: Compute) -> LossBytes:
    """Logits, logits over temperature, log-softmax; then the gradient of each in the place of one."""
    cast = head * compute.width if compute.casts else 0.0
    values = logits * FULL
    return LossBytes(3 * values + cast, values + cast, 3 * values + cast)


def _blocks(shape: ModelShape, batch: BatchShape, compute: Compute, block: Block, words: int) -> LossBytes:
    """A block of logits and one of what is made of it; sums over blocks; gradients in float32."""
    tokens = min(block.tokens, batch.predicted)
    piece = tokens * min(block.vocabulary, words) * (2 * FULL + (compute.width if compute.casts else 0))
    rows = min(block.vocabulary, words) * shape.hidden
    cast = rows * compute.width if compute.casts else 0.0
    normalizers = batch.predicted * FULL * -(-words // block.vocabulary)
    gradient = batch.predicted * shape.hidden * FULL
    product = rows * (compute.width if compute.casts else 0)
    kept = batch.predicted * FULL * 2
    return LossBytes(normalizers + piece + cast, kept, kept + gradient + piece + cast + product)

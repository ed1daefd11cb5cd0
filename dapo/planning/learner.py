"""The memory of one learner rank, at each moment of an update that may be its height."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dapo.planning.activations import (
    FULL,
    BatchShape,
    Compute,
    backward_bytes,
    checkpoint_bytes,
    layer_bytes,
    once_bytes,
)
from dapo.planning.loss import loss_bytes
from dapo.planning.shape import ModelShape

OPTIMIZER_STATES = 2
"""AdamW keeps two float32 numbers for each weight."""


@dataclass(frozen=True)
class LearnerMemory:
    """Bytes of one rank by what they are for, at the height of an update, and which moment that is."""

    parts: Mapping[str, float]
    moment: str

    @property
    def peak(self) -> float:
        return sum(self.parts.values())

    @property
    def resident(self) -> float:
        """Between updates: gradients and activations are gone."""
        return sum(self.parts[name] for name in ("parameters", "optimizer", "reference"))


@dataclass(frozen=True)
class Sharding:
    """Over how many ranks the learner's states lie."""

    ranks: int = 1
    """All of them: FSDP2 shards parameters, gradients and optimizer."""
    tensor_parallel: int = 1

    @property
    def gathers(self) -> bool:
        """Whether layers are put together from several ranks to be computed."""
        return self.ranks > self.tensor_parallel


def learner_memory(
    shape: ModelShape,
    batch: BatchShape,
    compute: Compute,
    *,
    sharding: Sharding | None = None,
    several_batches: bool = True,
    reference: bool = False,
) -> LearnerMemory:
    """Of an update after the first, whose batches all have this shape.

    `several_batches`: gradients of earlier batches are there while the next is read.
    """
    sharding = sharding or Sharding()
    states = shape.parameters * FULL / sharding.ranks
    always = {
        "parameters": states,
        "optimizer": OPTIMIZER_STATES * states,
        "reference": states if reference else 0.0,
    }
    moments = _moments(shape, batch, compute, sharding, states if several_batches else 0.0)
    name = max(moments, key=lambda moment: sum(moments[moment].values()))
    return LearnerMemory(always | moments[name], name)


def _moments(
    shape: ModelShape, batch: BatchShape, compute: Compute, sharding: Sharding, earlier: float
) -> dict[str, dict[str, float]]:
    """Gradients, activations, loss stage, casts and buffers, moment by moment."""
    one, once = layer_bytes(shape, batch, compute), once_bytes(shape, batch, compute)
    saved = checkpoint_bytes(shape, batch) if compute.checkpointing else one
    loss, tp = loss_bytes(shape, batch, compute), compute.tensor_parallel
    casts = _cast_bytes(shape, compute, sharding)
    stream = batch.tokens * shape.hidden * FULL
    head = shape.head * FULL / (tp if sharding.gathers else sharding.ranks)
    gradients = shape.parameters * FULL / sharding.ranks
    gathered = _gathered_bytes(shape, compute, sharding)
    again = one if compute.checkpointing else 0.0
    kept_casts = casts / shape.layers if compute.checkpointing else casts
    full = shape.layers * saved + once

    def moment(grad: float, activations: float, loss: float, casts: float) -> dict[str, float]:
        return {
            "gradients": grad,
            "activations": activations,
            "loss stage": loss,
            "bfloat16 weights": casts,
            "gathered layers": gathered,
        }

    in_layer = again + backward_bytes(shape, batch, compute)
    last_casts = casts / shape.layers
    return {
        "forward pass, logits": moment(earlier, full, loss.forward, casts),
        "backward pass, logits": moment(
            earlier, full + stream, loss.backward + head, 0.0 if compute.checkpointing else casts
        ),
        "backward pass, last layer": moment(earlier + head, full + in_layer, 0.0, kept_casts),
        "backward pass, first layer": moment(
            max(earlier + head, gradients), saved + in_layer, 0.0, last_casts
        ),
        "backward pass, embedding": moment(
            max(earlier, gradients) + shape.embedding * FULL / (tp if sharding.gathers else sharding.ranks),
            stream,
            head if earlier and shape.tied else 0.0,
            0.0,
        ),
    }


def _cast_bytes(shape: ModelShape, compute: Compute, sharding: Sharding) -> float:
    """Autocast keeps its copy of every matrix for the whole forward pass; FSDP gathers it in bfloat16."""
    if not compute.casts or sharding.gathers:
        return 0.0
    return shape.layer_matrices * compute.width / compute.tensor_parallel


def _gathered_bytes(shape: ModelShape, compute: Compute, sharding: Sharding) -> float:
    """FSDP2: this layer and the next, the gradient of one on its way to its shards, in float32, and
    the embedding and output layer, which stay together from the forward to the backward pass."""
    if not sharding.gathers:
        return 0.0
    layer = shape.layer_parameters * (2 * compute.width + compute.width + FULL)
    return (layer + shape.outside * compute.width) / compute.tensor_parallel

"""The batch that all golden cases share, copied as facts, and the loss of a batch as the learner takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dapo.core.losses import Loss
from dapo.core.reduce import Reduction, Totals, count_totals
from dapo.core.segments import Segments

Rows = Sequence[Sequence[float]]

MASK = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]]
RATIO = [
    [1.0, 1.25, 1.29, 0.6, 5.0, 5.0],
    [0.95, 0.79, 0.81, 4.0, 1.5, 12.0],
    [1.6, 0.5, 5.0, 5.0, 5.0, 5.0],
    [0.7, 1.1, 3.5, 1.0, 1.28, 5.0],
]
OLD = [
    [-1.2, -0.3, -2.1, -0.7, -9.0, -9.0],
    [-0.05, -1.6, -0.9, -3.2, -0.4, -0.2],
    [-2.5, -0.6, -9.0, -9.0, -9.0, -9.0],
    [-0.8, -4.0, -0.15, -1.1, -2.0, -9.0],
]
ENTROPY = [
    [0.9, 0.1, 1.7, 0.4, 9.0, 9.0],
    [0.02, 1.2, 0.7, 2.4, 0.3, 0.15],
    [2.0, 0.5, 9.0, 9.0, 9.0, 9.0],
    [0.6, 2.8, 0.11, 0.8, 1.4, 9.0],
]
ADVANTAGES = [1.5, -0.8, 0.4, -1.2]


@dataclass(frozen=True)
class Batch:
    """Flat float64 tensors of the trained tokens of a padded batch. Flattening drops the padding."""

    mask: Tensor
    old: Tensor
    new: Tensor
    entropy: Tensor
    advantages: Tensor
    extra: dict[str, Any]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Batch:
        mask = torch.tensor(raw["mask"], dtype=torch.bool)
        old, new, entropy = (double(raw[key])[mask] for key in ("old_logp", "new_logp", "entropy"))
        return cls(mask, old, new, entropy, double(raw["advantages_per_seq"]), raw)

    def column(self, name: str) -> Tensor:
        return self.flat(self.extra[name])

    def flat(self, rows: Rows) -> Tensor:
        return double(rows)[self.mask]

    def padded(self, values: Tensor) -> Tensor:
        return torch.zeros(self.mask.shape, dtype=values.dtype).masked_scatter(self.mask, values)

    @property
    def lengths(self) -> list[int]:
        return self.mask.sum(1).tolist()

    @property
    def segments(self) -> Segments:
        return Segments.from_lengths(self.lengths)

    @property
    def totals(self) -> Totals:
        return count_totals(list(self.mask))

    def without(self, row: int) -> Batch:
        """With one row masked, as a fully masked row of the padded batch."""
        mask = self.mask.clone()
        mask[row] = False
        return Batch.of({**self.extra, "mask": mask.tolist()})

    def split(self, values: Tensor) -> list[Tensor]:
        return list(values.split(self.lengths))


@dataclass(frozen=True)
class Result:
    value: Tensor
    gradient: Tensor
    per_token: Tensor
    metrics: dict[str, Tensor]


def run(
    batch: Batch,
    loss: Loss,
    reduction: Reduction,
    *,
    advantages: Tensor | None = None,
    totals: Totals | None = None,
    weights: Tensor | None = None,
    counted: Tensor | None = None,
) -> Result:
    """The loss of a batch, as the learner computes it."""
    segments = batch.segments
    logprobs = batch.new.clone().requires_grad_()
    per_sequence = batch.advantages if advantages is None else advantages
    per_token, metrics = loss(logprobs, batch.old, segments.expand(per_sequence), segments)
    weighted = per_token if weights is None else per_token * weights
    value = reduction(weighted, segments, totals or batch.totals, counted)
    (gradient,) = torch.autograd.grad(value, logprobs)
    return Result(value.detach(), batch.padded(gradient), batch.padded(per_token.detach()), metrics)


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Any, expected: Any, tolerance: float = 1e-10) -> None:
    actual = actual if isinstance(actual, Tensor) else double(actual)
    torch.testing.assert_close(
        actual.to(torch.float64), double(expected).expand(actual.shape), rtol=tolerance, atol=tolerance
    )


def b0(flipped: bool = False) -> Batch:
    """The golden batch B0: four sequences of 17 trained tokens. Flipped advantages make it B1."""
    old = double(OLD)
    sign = -1 if flipped else 1
    return Batch.of(
        {
            "mask": MASK,
            "old_logp": OLD,
            "new_logp": (old + double(RATIO).log()).tolist(),
            "entropy": ENTROPY,
            "advantages_per_seq": [sign * value for value in ADVANTAGES],
        }
    )

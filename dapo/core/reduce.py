"""From a loss per token to one number, with the denominators of the whole update handed in.

A micro-batch, a rank or a packed row sees only some of an update's sequences. Each reduction therefore
returns that share of the update's loss: over any split into whole sequences the shares, and their
gradients, add up to the same total. A denominator of zero gives exactly 0 with a zero gradient.

A reduction is a frozen dataclass, called as

    reduction(per_token [N], segments, totals, counted [N] bool or None) -> scalar

`counted` marks the tokens that count in the denominators; None counts them all. It never changes a
numerator: what must not contribute there has a weight of 0 in `per_token`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from dapo.core.segments import Segments


@dataclass(frozen=True)
class Totals:
    """Denominators of a whole update, over all of its micro-batches and ranks."""

    tokens: int
    """Tokens that count."""
    sequences: int
    """Sequences with at least one token that counts."""


class Reduction(Protocol):
    """What every reduction looks like."""

    name: ClassVar[str]

    def __call__(
        self, per_token: Tensor, segments: Segments, totals: Totals, counted: Tensor | None = None
    ) -> Tensor: ...


def count_totals(counted: Sequence[Tensor]) -> Totals:
    """Totals of an update from the masks [T_i] of the tokens that count in each of its sequences."""
    tokens = [int(mask.sum()) for mask in counted]
    return Totals(tokens=sum(tokens), sequences=sum(count > 0 for count in tokens))


@dataclass(frozen=True)
class TokenMean:
    """DAPO (arXiv 2503.14476, Eq. 12): every token of the update weighs the same."""

    name: ClassVar[str] = "token"

    def __call__(
        self, per_token: Tensor, segments: Segments, totals: Totals, counted: Tensor | None = None
    ) -> Tensor:
        return _divide(per_token.sum(), totals.tokens)


@dataclass(frozen=True)
class SequenceMean:
    """GRPO (arXiv 2402.03300, Eq. 3): mean over each sequence's tokens, then over the sequences."""

    name: ClassVar[str] = "sequence"

    def __call__(
        self, per_token: Tensor, segments: Segments, totals: Totals, counted: Tensor | None = None
    ) -> Tensor:
        counted = torch.ones_like(segments.index, dtype=torch.bool) if counted is None else counted
        lengths = segments.sum(counted.to(per_token.dtype))
        means = segments.sum(per_token) / lengths.clamp(min=1)
        return _divide(means.masked_fill(lengths == 0, 0).sum(), totals.sequences)


@dataclass(frozen=True)
class SequenceSum:
    """Sum over each sequence's tokens, then the mean over the sequences (verl's seq-mean-token-sum)."""

    name: ClassVar[str] = "sequence_sum"

    def __call__(
        self, per_token: Tensor, segments: Segments, totals: Totals, counted: Tensor | None = None
    ) -> Tensor:
        return _divide(per_token.sum(), totals.sequences)


@dataclass(frozen=True)
class ConstantMean:
    """Dr.GRPO (arXiv 2503.20783, Sec. 3.2): a constant number of tokens in place of each length.

    `tokens_per_sequence` is the generation budget in the paper; None has to be resolved to the limit on
    completions before use.
    """

    name: ClassVar[str] = "constant"
    tokens_per_sequence: int | None = None

    def __post_init__(self) -> None:
        if self.tokens_per_sequence is not None and self.tokens_per_sequence < 1:
            raise ValueError("tokens_per_sequence must be at least 1; None is the limit on completions")

    def resolved(self, max_completion_tokens: int) -> ConstantMean:
        """With `tokens_per_sequence` set to the limit on completions, unless it is set already."""
        return ConstantMean(self.tokens_per_sequence or max_completion_tokens)

    def __call__(
        self, per_token: Tensor, segments: Segments, totals: Totals, counted: Tensor | None = None
    ) -> Tensor:
        if self.tokens_per_sequence is None:
            raise ValueError("tokens_per_sequence is not set: call resolved(max_completion_tokens) first")
        return _divide(per_token.sum(), totals.sequences * self.tokens_per_sequence)


def _divide(total: Tensor, denominator: int) -> Tensor:
    if denominator == 0:
        # Keeps the graph, so that backward works and writes zeros.
        return total.masked_fill(torch.ones_like(total, dtype=torch.bool), 0)
    return total / denominator

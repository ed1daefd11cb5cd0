"""Log-probabilities and entropies straight from hidden states: the logits are never held all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

VOCABULARY_BLOCK = 4096
"""Words of the vocabulary in a block: enough for a matrix product to run at full speed."""
BLOCK_VALUES = 1 << 23
"""Logits in a block: 32 MiB in float32. A smaller vocabulary leaves room for more tokens."""


@dataclass(frozen=True)
class Block:
    """How many tokens and how many words of the vocabulary are worked on at a time."""

    tokens: int
    vocabulary: int

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.vocabulary < 1:
            raise ValueError("a block has at least one token and one word; None chooses its size")

    @classmethod
    def for_vocabulary(cls, size: int) -> Block:
        width = max(1, min(size, VOCABULARY_BLOCK))
        return cls(BLOCK_VALUES // width, width)


def linear_logprobs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float,
    *,
    bias: Tensor | None = None,
    entropies: bool = False,
    block: Block | None = None,
) -> tuple[Tensor, Tensor | None]:
    """`token_logprobs` of the logits hidden @ weight.T + bias, which are computed block by block.

    hidden [N, H], weight [V, H], bias [V] and targets [N] give the log-probabilities [N] of the targets
    and, if asked for, the `entropies` [N] in nats, else None. Differentiable once in hidden, weight, bias.

    Products are in hidden's dtype, or in that of the autocast region the call stands in, as those of a
    linear layer are. The softmax and all sums over blocks are in float32 (float64 for float64).
    Beyond the gradients only some blocks are held: the backward pass computes them again. What fits into a
    single block is computed plainly, which is faster. The size of a `block` changes a result by rounding
    only. Raises ValueError for a temperature that is not positive.
    """
    if temperature <= 0:
        raise ValueError("temperature must be positive: greedy decoding has no log-probabilities")
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    block = block or Block.for_vocabulary(len(weight))
    if len(hidden) <= block.tokens and len(weight) <= block.vocabulary:
        bias = None if bias is None else bias.to(hidden.dtype)
        logits = linear(hidden, weight.to(hidden.dtype), bias)
        return _in_one_piece(logits, targets, temperature, entropies)
    logprobs, entropy = _LinearLogprobs.apply(hidden, weight, bias, targets, temperature, entropies, block)
    return logprobs, entropy


def _in_one_piece(
    logits: Tensor, targets: Tensor, temperature: float, entropies: bool
) -> tuple[Tensor, Tensor | None]:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_softmax = torch.log_softmax(logits / temperature, dim=-1)
    logprobs = log_softmax.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return logprobs, -(log_softmax.exp() * log_softmax).sum(-1) if entropies else None


class _LinearLogprobs(torch.autograd.Function):
    """A softmax over the vocabulary in two levels: within each block, then over the blocks."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        entropies: bool,
        block: Block,
    ) -> tuple[Tensor, Tensor | None]:
        at = _Logits(hidden, weight, bias, targets, temperature, block)
        shape = (at.block_count, len(hidden))
        normalizers = hidden.new_empty(shape, dtype=at.dtype)
        within = torch.empty_like(normalizers) if entropies else None
        chosen = hidden.new_zeros(len(hidden), dtype=at.dtype)
        for number, rows, logits in at.blocks():
            normalizers[number, rows] = logits.logsumexp(-1)
            column, inside = at.place_of_targets(number, rows)
            chosen[rows] += logits.gather(-1, column.unsqueeze(-1)).squeeze(-1).where(inside, 0)
            if within is not None:
                probabilities = logits.sub_(normalizers[number, rows].unsqueeze(-1)).exp_()
                within[number, rows] = torch.special.entr(probabilities).sum(-1)
        normalizer = normalizers.logsumexp(0)
        entropy = None
        if within is not None:
            # The entropy of the choice of a block, and that of the choice within it.
            share = (normalizers - normalizer).exp_()
            entropy = torch.special.entr(share).sum(0) + (share * within).sum(0)
        ctx.save_for_backward(hidden, weight, bias, targets, normalizer, entropy)
        ctx.temperature, ctx.block = temperature, block
        ctx.set_materialize_grads(False)
        return chosen - normalizer, entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_logprobs: Tensor | None, grad_entropy: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, normalizer, entropy = ctx.saved_tensors
        if grad_logprobs is None and grad_entropy is None:
            return (None,) * 7
        at = _Logits(hidden, weight, bias, targets, ctx.temperature, ctx.block)
        gradients = [
            torch.zeros_like(tensor, dtype=at.dtype) if needed else None
            for tensor, needed in zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
        ]
        # Per token: d log p_target / dz = onehot - p and dH / dz = -p (log p + H), by the chain rule.
        up = torch.zeros_like(normalizer) if grad_logprobs is None else grad_logprobs / ctx.temperature
        up_entropy = None if grad_entropy is None else grad_entropy / ctx.temperature
        down = up if up_entropy is None else up + up_entropy * entropy
        for number, rows, logits in at.blocks():
            probabilities = logits.sub_(normalizer[rows].unsqueeze(-1)).exp_()
            slope = None if up_entropy is None else torch.special.entr(probabilities)
            gradient = probabilities.mul_(-down[rows].unsqueeze(-1))
            if slope is not None and up_entropy is not None:
                gradient += slope.mul_(up_entropy[rows].unsqueeze(-1))
            column, inside = at.place_of_targets(number, rows)
            gradient.scatter_add_(-1, column.unsqueeze(-1), up[rows].where(inside, 0).unsqueeze(-1))
            at.add_gradients(gradients, gradient, number, rows)
        grad_hidden, grad_weight, grad_bias = (
            None if total is None else total.to(tensor.dtype)
            for total, tensor in zip(gradients, (hidden, weight, bias), strict=True)
        )
        return grad_hidden, grad_weight, grad_bias, None, None, None, None


class _Logits:
    """The logits of N tokens over a vocabulary, a block at a time, and what their gradient adds up to."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        block: Block,
    ) -> None:
        self.hidden, self.weight, self.bias, self.targets = hidden, weight, bias, targets
        self.temperature, self.block = temperature, block
        self.dtype = torch.promote_types(hidden.dtype, torch.float32)

    @property
    def block_count(self) -> int:
        """Blocks of the vocabulary."""
        return -(-len(self.weight) // self.block.vocabulary)

    def blocks(self) -> Iterator[tuple[int, slice, Tensor]]:
        """Number of the vocabulary's block, tokens, and their logits over the temperature."""
        for number in range(self.block_count):
            words = self._words(number)
            weight = self.weight[words].to(self.hidden.dtype)
            bias = None if self.bias is None else self.bias[words].to(self.hidden.dtype)
            for start in range(0, len(self.hidden), self.block.tokens):
                rows = slice(start, start + self.block.tokens)
                # Dtypes are settled; the backward pass may run in an autocast region that this was not in.
                with torch.autocast(self.hidden.device.type, enabled=False):
                    logits = linear(self.hidden[rows], weight, bias)
                yield number, rows, logits.to(self.dtype).div_(self.temperature)

    def place_of_targets(self, number: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Column of each target in a block, and whether it lies there at all."""
        words = self._words(number)
        column = self.targets[rows] - words.start
        width = words.stop - words.start
        return column.clamp(0, width - 1), (column >= 0) & (column < width)

    def add_gradients(self, totals: list[Tensor | None], gradient: Tensor, number: int, rows: slice) -> None:
        """Add to those of hidden, weight and bias what the gradient of a block of logits contributes."""
        grad_hidden, grad_weight, grad_bias = totals
        words, hidden = self._words(number), self.hidden[rows]
        if grad_bias is not None:
            grad_bias[words] += gradient.sum(0)
        gradient = gradient.to(hidden.dtype)
        if grad_hidden is not None:
            _add_product(grad_hidden[rows], gradient, self.weight[words].to(hidden.dtype))
        if grad_weight is not None:
            _add_product(grad_weight[words], gradient.T, hidden)

    def _words(self, number: int) -> slice:
        start = number * self.block.vocabulary
        return slice(start, min(start + self.block.vocabulary, len(self.weight)))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, without a product of its own where the dtypes allow it."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

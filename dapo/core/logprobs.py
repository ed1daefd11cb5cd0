"""Log-probabilities and entropies of tokens from logits, in float32 and in bounded memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_VALUES = 1 << 24
"""Logits in a chunk unless its rows are given: 64 MiB in float32."""


def token_logprobs(
    logits: Tensor, targets: Tensor, temperature: float, chunk_rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target, and the entropy of the whole distribution it was drawn from.

    logits [..., V] and targets [...] give two tensors [...]: log softmax(logits / temperature) at the
    target, and the Shannon entropy in nats over all V tokens. Both are float32 (float64 for float64
    logits) and differentiable once. A logit of -inf is a token of probability 0.

    Softmax and its gradient are computed for `chunk_rows` rows at a time, and never kept for the
    backward pass: beyond the logits and their gradient only some chunks of float32 are held. The chunk
    never changes a result. Raises ValueError for a temperature or chunk that is not positive.
    """
    if temperature <= 0:
        raise ValueError("temperature must be positive: greedy decoding has no log-probabilities")
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError("chunk_rows must be at least 1; None chooses it by the size of the vocabulary")
    vocabulary = logits.shape[-1]
    rows = chunk_rows or max(1, CHUNK_VALUES // vocabulary)
    flat = logits.reshape(-1, vocabulary)
    logprobs, entropies = _TokenLogprobs.apply(flat, targets.reshape(-1), temperature, rows)
    return logprobs.reshape(targets.shape), entropies.reshape(targets.shape)


class _TokenLogprobs(torch.autograd.Function):
    """Two outputs of a softmax per row, with a backward pass that computes the softmax again."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, temperature: float, chunk_rows: int
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        logprobs = torch.empty(len(logits), dtype=dtype, device=logits.device)
        entropies = torch.empty_like(logprobs)
        for start in range(0, len(logits), chunk_rows):
            part = slice(start, start + chunk_rows)
            log_softmax = torch.log_softmax(logits[part].to(dtype) / temperature, dim=-1)
            logprobs[part] = log_softmax.gather(-1, targets[part].unsqueeze(-1)).squeeze(-1)
            entropies[part] = torch.special.entr(log_softmax.exp_()).sum(-1)
        ctx.save_for_backward(logits, targets, entropies)
        ctx.temperature, ctx.chunk_rows = temperature, chunk_rows
        ctx.set_materialize_grads(False)
        return logprobs, entropies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_logprobs: Tensor | None, grad_entropies: Tensor | None
    ) -> tuple[Tensor | None, None, None, None]:
        logits, targets, entropies = ctx.saved_tensors
        if grad_logprobs is None and grad_entropies is None:
            return None, None, None, None
        gradient = torch.empty_like(logits)
        for start in range(0, len(logits), ctx.chunk_rows):
            part = slice(start, start + ctx.chunk_rows)
            softmax = torch.softmax(logits[part].to(entropies.dtype) / ctx.temperature, dim=-1)
            total = torch.zeros_like(softmax)
            if grad_entropies is not None:
                # dH/dz = -p (log p + H)
                slope = torch.special.entr(softmax) - softmax * entropies[part].unsqueeze(-1)
                total += slope * grad_entropies[part].unsqueeze(-1)
            if grad_logprobs is not None:
                # d log p_target / dz = onehot(target) - p
                upstream = grad_logprobs[part].unsqueeze(-1)
                total -= softmax * upstream
                total.scatter_add_(-1, targets[part].unsqueeze(-1), upstream.to(total.dtype))
            gradient[part] = (total / ctx.temperature).to(logits.dtype)
        return gradient, None, None, None

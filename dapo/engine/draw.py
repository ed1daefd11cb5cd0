"""From logits to tokens: temperature, top-k, top-p, min-p, and the draw itself."""

from __future__ import annotations

import torch
from torch import Tensor

from dapo.types import SamplingParams


def draw(logits: Tensor, uniform: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """Draw one token per row by inverting the cumulative distribution.

    Args:
        logits: [B, V], any float dtype.
        uniform: [B] in [0, 1).

    Returns:
        Token ids [B] int64, and their log-probabilities [B] float32 under the distribution they were
        drawn from. Greedy decoding (temperature 0) reports those at temperature 1.
    """
    logits = logits.float()
    if params.temperature == 0:
        tokens = logits.argmax(dim=-1)
        return tokens, _log_probability(logits, tokens)
    logits = truncate(logits / params.temperature, params)
    cumulative = torch.softmax(logits, dim=-1).to(uniform.dtype).cumsum(dim=-1)
    threshold = uniform.unsqueeze(-1) * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return tokens, _log_probability(logits, tokens)


def truncate(logits: Tensor, params: SamplingParams) -> Tensor:
    """Set the logits [B, V] of tokens outside the truncated support to minus infinity."""
    if params.top_k and params.top_k < logits.shape[-1]:
        smallest = logits.topk(params.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, float("-inf"))
    if params.top_p < 1:
        ordered, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
        # The token that crosses top_p belongs to the support: only mass strictly before it counts.
        outside = ordered.cumsum(dim=-1) - ordered >= params.top_p
        logits = logits.masked_fill(outside.scatter(-1, order, outside), float("-inf"))
    if params.min_p > 0:
        probabilities = logits.softmax(dim=-1)
        floor = params.min_p * probabilities.amax(dim=-1, keepdim=True)
        logits = logits.masked_fill(probabilities < floor, float("-inf"))
    return logits


def _log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)

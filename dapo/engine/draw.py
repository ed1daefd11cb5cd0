"""From logits to tokens: temperature, top-k, top-p, min-p, and the draw itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from dapo.types import SamplingParams

BLOCK = 512
"""Tokens whose probabilities are summed before single ones are looked at."""


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
    if params.temperature != 1:
        logits = logits / params.temperature
    logits = truncate(logits, params)
    logprobs = logits.log_softmax(dim=-1)
    tokens = invert(logprobs.exp(), uniform)
    return tokens, logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The token [B] at which the cumulative sum of probabilities [B, V] passes each uniform number [B].

    First the block of tokens is found, by the sums of all blocks, then the token in it: cumulative sums in
    double precision over a whole vocabulary would be most of the time of a draw.
    """
    vocabulary = probabilities.shape[-1]
    share = uniform.unsqueeze(-1)
    if vocabulary <= 2 * BLOCK:
        cumulative = probabilities.to(share.dtype).cumsum(dim=-1)
        return _first_above(cumulative, share * cumulative[:, -1:]).squeeze(-1)
    padded = pad(probabilities, (0, -vocabulary % BLOCK)).unflatten(-1, (-1, BLOCK))
    sums = padded.to(share.dtype).sum(dim=-1)
    cumulative = sums.cumsum(dim=-1)
    threshold = share * cumulative[:, -1:]
    block = _first_above(cumulative, threshold)
    left = threshold - (cumulative - sums).gather(-1, block)
    inside = padded.gather(1, block.unsqueeze(-1).expand(-1, -1, BLOCK)).squeeze(1)
    return (block * BLOCK + _inside(inside.to(share.dtype).cumsum(dim=-1), left)).squeeze(-1)


def _first_above(cumulative: Tensor, threshold: Tensor) -> Tensor:
    """The first place [B, 1] where a row [B, n] exceeds its threshold [B, 1], which is below its last value.

    The place adds to the sum, so it has a weight. The last one where nothing is a number.
    """
    return torch.searchsorted(cumulative, threshold, right=True).clamp_(max=cumulative.shape[-1] - 1)


def _inside(cumulative: Tensor, threshold: Tensor) -> Tensor:
    """As `_first_above`, where rounding may have brought the threshold to the last value: then the first
    place that has reached that."""
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(_first_above(cumulative, threshold), last)


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

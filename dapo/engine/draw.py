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
    if vocabulary <= 2 * BLOCK:
        return _first_above(probabilities, uniform.unsqueeze(-1), relative=True)[0]
    padded = pad(probabilities, (0, -vocabulary % BLOCK)).unflatten(-1, (-1, BLOCK))
    block, below = _first_above(padded.sum(dim=-1), uniform.unsqueeze(-1), relative=True)
    inside = padded[torch.arange(len(block), device=block.device), block]
    return block * BLOCK + _first_above(inside, below.unsqueeze(-1), relative=False)[0]


def _first_above(weights: Tensor, threshold: Tensor, relative: bool) -> tuple[Tensor, Tensor]:
    """The first place [B] where the cumulative sum of weights [B, n] exceeds the threshold [B, 1], and what
    is left of the threshold there [B].

    `relative`: the threshold is a share of the sum. Rounding never leads to a place of weight 0.
    """
    cumulative = weights.to(threshold.dtype).cumsum(dim=-1)
    total = cumulative[:, -1:].contiguous()
    threshold = threshold * total if relative else threshold
    place = torch.searchsorted(cumulative, threshold, right=True)
    last = torch.searchsorted(cumulative, total)
    place = torch.minimum(place, last)
    before = cumulative.gather(-1, place) - weights.gather(-1, place).to(threshold.dtype)
    return place.squeeze(-1), (threshold - before).clamp(min=0).squeeze(-1)


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

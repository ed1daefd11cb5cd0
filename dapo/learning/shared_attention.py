"""Attention over samples of which every distinct prompt is read only once.

All tokens of a batch lie behind each other in one row: the distinct prompts, then the completions. Norms,
products and whatever else works token by token see no padding, and a prompt once however many completions it
has. Only attention needs whole sequences: for it the queries, keys and values are laid out as padded rows,
and what comes out is collected again. The gradient of a prompt is the sum over the rows it stands in.

It works through the attention interface of transformers, so the model's own modules do everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "dapo_shared"
"""What the attention interface of transformers knows it by."""


@dataclass(frozen=True)
class Rows:
    """How the N tokens of a batch lie in padded rows, R tokens in all, for attention."""

    shapes: tuple[tuple[int, int], ...]
    """Rows and columns of each block of rows; their products add up to R."""
    tokens: Tensor
    """int64 [R]: the token at each place; any token where there is only padding."""
    places: Tensor
    """int64 [N]: a place of each token."""
    copies: Tensor
    """int64: all places of the first token, then all of the second, and so on."""
    offsets: Tensor
    """int64 [N]: where in `copies` each token's begin."""

    def to(self, device: torch.device) -> Rows:
        moved = (part.to(device) for part in (self.tokens, self.places, self.copies, self.offsets))
        return Rows(self.shapes, *moved)


class _Expand(torch.autograd.Function):
    """Tokens [N, D] to the places they stand in [R, D]. A token's gradient is the sum over its places."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        return tokens.index_select(0, rows.tokens)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return embedding_bag(ctx.rows.copies, grad.contiguous(), ctx.rows.offsets, mode="sum"), None


class _Collect(torch.autograd.Function):
    """Of the places [R, D] one for each token [N, D]: no other reaches the loss."""

    @staticmethod
    def forward(ctx: Any, places: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        return places.index_select(0, rows.places)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        spread = grad.new_zeros(len(ctx.rows.tokens), grad.shape[1])
        return spread.index_copy_(0, ctx.rows.places, grad), None


def shared_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    shared_rows: Rows,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, N, dimension], key and value alike -> [1, N, heads, dimension]: causal attention."""
    parts = [_laid_out(states, shared_rows) for states in (query, key, value)]
    attended = []
    for q, k, v in zip(*parts, strict=True):
        width = q.shape[2]
        mask = None if sliding_window is None else _band(width, sliding_window, q.device)
        out = scaled_dot_product_attention(
            q, k, v, mask, is_causal=mask is None, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
        attended.append(out.transpose(1, 2).flatten(0, 1).flatten(1))
    collected = _Collect.apply(attended[0] if len(attended) == 1 else torch.cat(attended), shared_rows)
    return collected.view(1, query.shape[2], query.shape[1], -1), None


def _laid_out(states: Tensor, rows: Rows) -> list[Tensor]:
    """[1, heads, N, dimension] as rows of sequences: [B, heads, W, dimension] for each block."""
    _, heads, _, dimension = states.shape
    expanded = _Expand.apply(states[0].transpose(0, 1).flatten(1), rows)
    pieces = expanded.split([count * width for count, width in rows.shapes])
    return [
        piece.view(count, width, heads, dimension).transpose(1, 2)
        for piece, (count, width) in zip(pieces, rows.shapes, strict=True)
    ]


def _band(width: int, window: int, device: torch.device) -> Tensor | None:
    """Bool [W, W]: the columns that a sliding window lets each row see; None if that is all before it."""
    if width <= window:
        return None
    places = torch.arange(width, device=device)
    distance = places.unsqueeze(1) - places
    return (distance >= 0) & (distance < window)


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """Attention knows from the rows who sees whom."""


@contextmanager
def sharing(model: PreTrainedModel) -> Iterator[None]:
    """In here the model's attention is `shared_attention`, and every forward pass needs `shared_rows`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, shared_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    config = model.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before

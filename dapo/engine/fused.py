"""An own forward pass for Llama's relatives: decoding and reading mixed, over slots written in place.

All tokens of a step, one of each sequence in flight and all of the new ones, go through norms and products
as one flat batch without padding. Only attention tells them apart: sequences in flight look into the cache
in blocks of like length, new ones at each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from dapo.engine.arrange import blocks
from dapo.engine.cache import SlotCache
from dapo.engine.decoder import Integers
from dapo.engine.graphs import DecodeGraphs
from dapo.engine.slots import Read, SlotDecoder, chunks
from dapo.engine.weights import FusedWeights, LayerWeights


@dataclass(frozen=True)
class Reading:
    """New sequences in the flat batch: where each begins, and how attention sees them as padded rows."""

    gather: Tensor
    """int64 [m, W]: place of each token in the flat batch; padding points to the first one."""
    scatter: Tensor
    """int64 [tokens]: place of each token in the m x W rows."""


@dataclass(frozen=True)
class Looking:
    """Sequences in flight: blocks of rows, each with the columns it reads and which of these are there."""

    rows: slice
    columns: int
    mask: Tensor | None
    """Float [rows, 1, 1, columns], 0 or minus infinity; None if all are there."""

    def views(self, cache: Tensor, shared: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values [rows, heads, columns, dimension] of each layer, where they lie."""
        there = cache[:, self.rows, :, : self.columns]
        return zip(there[:, :, :shared], there[:, :, shared:], strict=True)


class FusedDecoder(SlotDecoder):
    """See `dapo.engine.decoder.Decoder`."""

    def __init__(
        self, weights: FusedWeights, slots: int, prefill_tokens: int, cuda_graphs: bool = True
    ) -> None:
        shape = (weights.depth, 2 * weights.key_value_heads, weights.dimension)
        super().__init__(SlotCache([shape], slots, weights.dtype, weights.device), slots, weights.device)
        self.weights, self._prefill_tokens = weights, prefill_tokens
        self._rotations = torch.empty(0)
        recorded = cuda_graphs and weights.device.type == "cuda"
        self._graphs = DecodeGraphs(self._decode, slots, weights.device) if recorded else None

    def open(self) -> None:
        self.weights.refresh()
        self.close()

    def close(self) -> None:
        super().close()
        if self._graphs is not None:
            self._graphs.forget()

    def _moved(self) -> None:
        self._rotations = self.weights.rotations(self.cache.columns)
        if self._graphs is not None:
            self._graphs.forget()

    def _compute(self, tokens: Tensor, reads: Sequence[Read]) -> Tensor:
        first, *others = chunks(reads, self._prefill_tokens) or [[]]
        logits = [self._forward(tokens, first), *(self._forward(tokens[:0], part) for part in others)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def _forward(self, tokens: Tensor, reads: Sequence[Read]) -> Tensor:
        """Logits of the first rows, whose last tokens are given, and of what is read beside them."""
        count = len(tokens)
        lengths = self.lengths[:count]
        if self._graphs is not None and not reads:
            columns = int(lengths.max()) + 1
            return self._graphs(tokens, torch.from_numpy(lengths), columns, self.cache.columns)
        sizes = [len(read.ids) for read in reads]
        flat = torch.cat([tokens, *(torch.tensor(read.ids) for read in reads)])
        positions = np.concatenate([lengths, *(np.arange(size) for size in sizes)])
        rows = np.concatenate([np.arange(count), *(np.full(len(read.ids), read.row) for read in reads)])
        hidden = self._layers(
            flat.to(self.device),
            torch.from_numpy(positions).to(self.device),
            torch.from_numpy(rows).to(self.device),
            self._looking(lengths) if count else [],
            _reading(sizes, count, self.device) if reads else None,
        )
        if reads:
            last = [*range(count), *(count + np.cumsum(sizes) - 1)]
            hidden = hidden[torch.tensor(last, device=self.device)]
        return self._head(hidden)

    def _decode(self, tokens: Tensor, positions: Tensor, columns: int) -> Tensor:
        """Logits [n, V] of the first n rows, all in one block, without a word to the host."""
        there = torch.arange(columns, device=self.device) <= positions.unsqueeze(1)
        rows = torch.arange(len(tokens), device=self.device)
        block = Looking(slice(0, len(tokens)), columns, self._mask(there))
        return self._head(self._layers(tokens, positions, rows, [block], None))

    def _looking(self, lengths: Integers) -> list[Looking]:
        """How attention reads rows of these lengths and the token that each appends."""
        self.arrangement.tick(lengths)
        found = []
        for start, stop, columns in blocks(lengths + 1):
            seen = lengths[start:stop] + 1
            there = torch.arange(columns) < torch.from_numpy(seen).unsqueeze(1)
            mask = None if int(seen.min()) == columns else self._mask(there).to(self.device)
            found.append(Looking(slice(start, stop), columns, mask))
        return found

    def _mask(self, there: Tensor) -> Tensor:
        """What attention adds to the scores of columns that are there (bool [rows, columns]) or not."""
        mask = torch.zeros(there.shape, dtype=self.weights.dtype, device=there.device)
        return mask.masked_fill_(~there, float("-inf"))[:, None, None]

    def _layers(
        self,
        ids: Tensor,
        positions: Tensor,
        rows: Tensor,
        looking: Sequence[Looking],
        reading: Reading | None,
    ) -> Tensor:
        """Hidden states [tokens, hidden] behind the last layer, before the last norm."""
        weights, cache = self.weights, self.cache.parts[0]
        hidden = weights.embedding[ids]
        turns = self._rotations[positions].unsqueeze(1)
        places = self._places(rows, positions)
        vectors = cache.view(weights.depth, -1, weights.dimension).unbind()
        looked_at = [list(block.views(cache, weights.key_value_heads)) for block in looking]
        for number, layer in enumerate(weights.layers):
            qkv = self._qkv(layer, hidden, turns)
            vectors[number].index_copy_(0, places, qkv[:, weights.heads :].reshape(-1, weights.dimension))
            there = [views[number] for views in looked_at]
            seen = self._attention(qkv, looking, there, reading)
            hidden = _add(hidden, seen, layer.out, layer.out_bias)
            middle = self._normed(hidden, layer.norm_mid)
            gate, up = _product(middle, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            hidden = _add(hidden, silu(gate).mul_(up), layer.down, layer.down_bias)
        return hidden

    def _places(self, rows: Tensor, positions: Tensor) -> Tensor:
        """int64 [tokens * 2 key-value heads]: where a layer's keys and values of each token are written,
        counted in heads' vectors."""
        heads = torch.arange(2 * self.weights.key_value_heads, device=self.device)
        rows = rows.unsqueeze(1) * len(heads) + heads
        return (rows * self.cache.columns + positions.unsqueeze(1)).flatten()

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm, as sqrt(H) w x / sqrt(|x|^2 + H epsilon): fewer and smaller operations than `rms_norm`."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        normed: Tensor = (hidden / length.hypot(self.weights.norm_floor)).mul_(weight)
        return normed.to(self.weights.dtype)

    def _qkv(self, layer: LayerWeights, hidden: Tensor, turns: Tensor) -> Tensor:
        """Queries, keys and values [tokens, heads + 2 key-value heads, dimension], the first two turned."""
        weights = self.weights
        qkv = _product(self._normed(hidden, layer.norm_in), layer.qkv, layer.qkv_bias)
        qkv = qkv.view(len(hidden), -1, weights.dimension)
        keys = weights.heads + weights.key_value_heads
        if layer.norm_q is not None and layer.norm_k is not None:
            for part, norm in (
                (qkv[:, : weights.heads], layer.norm_q),
                (qkv[:, weights.heads : keys], layer.norm_k),
            ):
                part.copy_(rms_norm(part.float(), norm.shape, norm, weights.epsilon))
        pairs = qkv.view(len(hidden), -1, weights.dimension // 2, 2)[:, :keys]
        if qkv.dtype == torch.float32:
            torch.view_as_complex(pairs).mul_(turns)
        else:
            pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * turns))
        return qkv

    def _attention(
        self,
        qkv: Tensor,
        looking: Sequence[Looking],
        there: Sequence[tuple[Tensor, Tensor]],
        reading: Reading | None,
    ) -> Tensor:
        """[tokens, heads * dimension]. Heads that share keys are rows of one product."""
        weights = self.weights
        shared = weights.key_value_heads
        grouped = qkv[:, : weights.heads].view(len(qkv), shared, -1, weights.dimension)
        parts = []
        for block, (keys, values) in zip(looking, there, strict=True):
            seen = scaled_dot_product_attention(grouped[block.rows], keys, values, attn_mask=block.mask)
            parts.append(seen.flatten(1))
        if reading is not None:
            padded = qkv[reading.gather].transpose(1, 2)
            queries, keys, values = padded.split((weights.heads, shared, shared), dim=1)
            seen = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
            parts.append(seen.transpose(1, 2).flatten(2).flatten(0, 1)[reading.scatter])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states."""
        weights = self.weights
        return linear(self._normed(hidden, weights.norm), weights.head, weights.head_bias)


def _product(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """values @ weight + bias."""
    return torch.mm(values, weight) if bias is None else torch.addmm(bias, values, weight)


def _add(hidden: Tensor, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """hidden + values @ weight + bias, the sum in the precision of `hidden`."""
    if bias is None and values.dtype == hidden.dtype:
        return torch.addmm(hidden, values, weight)
    return hidden + _product(values, weight, bias)


def _reading(sizes: Sequence[int], first: int, device: torch.device) -> Reading:
    lengths = torch.tensor(sizes)
    width = int(lengths.max())
    starts = first + lengths.cumsum(0) - lengths
    places = torch.arange(width)
    there = places < lengths.unsqueeze(1)
    gather = torch.where(there, starts.unsqueeze(1) + places, first)
    return Reading(gather.to(device), there.flatten().nonzero().squeeze(1).to(device))

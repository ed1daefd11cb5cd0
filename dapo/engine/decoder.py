"""A batch of sequences decoded side by side over a transformers cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Context = Callable[[], AbstractContextManager[object]]


class Decoder:
    """Gives the logits of the next token of every sequence of a batch that may grow and shrink.

    Rows end at the same column: a shorter one is padded on its left. So a column of the cache is a
    place counted from the end, which is what the masks of full and of sliding attention need.

    Attributes:
        logits: float [B, V], for the next token of each sequence in the batch.
        grows: whether sequences may join a batch that is not empty. False for models whose cache is
            more than keys and values (state-space layers): theirs cannot be padded afterwards.
    """

    logits: Tensor
    _mask: Tensor
    _cache: Any

    def __init__(self, model: PreTrainedModel, context: Context, pad_id: int, prefill_tokens: int) -> None:
        """`prefill_tokens`: how much one forward pass reads of new sequences, padding included."""
        self._model, self._context, self._pad_id = model, context, pad_id
        self._prefill_tokens = prefill_tokens
        self.grows = _keys_and_values_only(model)
        self.rows = 0

    @torch.inference_mode()
    def admit(self, sequences: Sequence[Sequence[int]], copies: Sequence[int]) -> None:
        """Read new sequences and append each `copies` times to the batch, s0, s0, ..., s1, s1, ...

        The k-th call of a run sees the same batch in every repetition of that run, so it reads the
        sequences in the same chunks and computes the same bits.
        """
        for start, stop in _chunks([len(sequence) for sequence in sequences], self._prefill_tokens):
            self._join(sequences[start:stop], torch.tensor(copies[start:stop]))

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch only."""
        self.rows = len(rows)
        if not rows:
            self._cache = None
            return
        index = torch.tensor(rows, device=self.logits.device)
        self._cache.batch_select_indices(index)
        self.logits, self._mask = self.logits[index], self._mask[index]
        if self.grows:
            self._trim()

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> None:
        """Append one token to each sequence and compute the logits of the next."""
        ids = torch.tensor(tokens, dtype=torch.int64).unsqueeze(-1)
        mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        positions = mask.sum(dim=-1, keepdim=True) - 1
        self.logits, self._mask = self._forward(ids, mask, positions, self._cache), mask

    def _join(self, sequences: Sequence[Sequence[int]], copies: Tensor) -> None:
        width = max(len(sequence) for sequence in sequences)
        ids = torch.full((len(sequences), width), self._pad_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, width - len(sequence) :] = torch.tensor(sequence)
            mask[row, width - len(sequence) :] = 1
        cache = self._new_cache()
        logits = self._forward(ids, mask, (mask.cumsum(dim=-1) - 1).clamp(min=0), cache)
        rows = torch.arange(len(sequences)).repeat_interleave(copies).to(logits.device)
        cache.batch_select_indices(rows)
        logits, mask = logits[rows], mask.to(logits.device)[rows]
        if self.rows:
            _pad_to_equal_width(self._cache, cache)
            _append_rows(self._cache, cache)
            width = max(mask.shape[1], self._mask.shape[1])
            mask = torch.cat([_pad_left(part, width, dim=1) for part in (self._mask, mask)])
            logits = torch.cat([self.logits, logits])
        else:
            self._cache = cache
        self.logits, self._mask, self.rows = logits, mask, len(logits)

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache() if self.grows else DynamicCache(config=self._model.config)

    def _trim(self) -> None:
        """Drop the columns that are padding in every row that is left."""
        padding = int(self._mask.any(dim=0).int().argmax())
        if padding:
            self._mask = self._mask[:, padding:]
            for layer in _filled(self._cache):
                layer.keys, layer.values = layer.keys[:, :, padding:], layer.values[:, :, padding:]

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        device = self._model.device
        with self._context():
            output = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = output.logits[:, -1].float()
        return logits


def _keys_and_values_only(model: PreTrainedModel) -> bool:
    """Whether a plain cache of keys and values serves the model.

    It does for sliding windows too: the mask leaves out what lies beyond the window.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    return not model._is_stateful and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def _chunks(lengths: Sequence[int], budget: int) -> Iterator[tuple[int, int]]:
    """Ranges of neighbours whose padded size fits the budget; a single one always does."""
    start, widest = 0, 0
    for stop, length in enumerate(lengths):
        widest = max(widest, length)
        if stop > start and widest * (stop + 1 - start) > budget:
            yield start, stop
            start, widest = stop, length
    if lengths:
        yield start, len(lengths)


def _filled(cache: Any) -> list[Any]:
    """The layers that hold keys; where layers share them, some hold none."""
    return [layer for layer in cache.layers if layer.get_seq_length()]


def _pad_left(values: Tensor, size: int, dim: int) -> Tensor:
    missing = size - values.shape[dim]
    return pad(values, (0, 0) * (values.dim() - 1 - dim) + (missing, 0)) if missing else values


def _pad_to_equal_width(first: Any, second: Any) -> None:
    width = max(first.get_seq_length(), second.get_seq_length())
    for layer in (*_filled(first), *_filled(second)):
        layer.keys, layer.values = _pad_left(layer.keys, width, dim=2), _pad_left(layer.values, width, dim=2)


def _append_rows(first: Any, second: Any) -> None:
    for layer, more in zip(_filled(first), _filled(second), strict=True):
        layer.keys = torch.cat([layer.keys, more.keys])
        layer.values = torch.cat([layer.values, more.values])

"""One batch of sequences decoded side by side over a transformers cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Context = Callable[[], AbstractContextManager[object]]


class Decoder:
    """Reads prompts once, then gives the logits of the next token of every sequence.

    Attributes:
        logits: float [B, V], for the next token of each sequence still in the batch.
    """

    logits: Tensor
    _mask: Tensor
    _cache: Any

    @torch.inference_mode()
    def __init__(
        self,
        model: PreTrainedModel,
        context: Context,
        prompts: Sequence[Sequence[int]],
        copies: int,
        pad_id: int,
    ) -> None:
        """Prefill `prompts` and continue each `copies` times, in the order p0, p0, ..., p1, p1, ..."""
        self._model, self._context = model, context
        width = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), width), pad_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
        self._forward(ids, mask, positions, cache=None)
        self._cache.batch_repeat_interleave(copies)
        self.logits = self.logits.repeat_interleave(copies, dim=0)
        self._mask = self._mask.repeat_interleave(copies, dim=0)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch only."""
        index = torch.tensor(rows, device=self.logits.device)
        self._cache.batch_select_indices(index)
        self.logits = self.logits[index]
        self._mask = self._mask[index]

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> None:
        """Append one token to each sequence and compute the logits of the next."""
        ids = torch.tensor(tokens, dtype=torch.int64).unsqueeze(-1)
        mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        positions = mask.sum(dim=-1, keepdim=True) - 1
        self._forward(ids, mask, positions, self._cache)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> None:
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
        self._cache = output.past_key_values
        self.logits = output.logits[:, -1].float()
        self._mask = mask.to(device)

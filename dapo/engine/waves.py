"""Causal models of every kind, a batch at a time: correct, and slower."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dapo.engine.decoder import Context, Integers, New

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WaveDecoder:
    """See `dapo.engine.decoder.Decoder`.

    Sequences join when the batch is empty, padded on the left, and the batch keeps its rows to the end:
    nothing is asked of the model's cache but that it serves the model's own forward pass.
    """

    def __init__(self, model: PreTrainedModel, context: Context, slots: int, pad_id: int) -> None:
        self._model, self._context, self._pad_id = model, context, pad_id
        self.slots = slots
        known = inspect.signature(model.forward).parameters
        self._cache_name = "past_key_values" if "past_key_values" in known else "cache_params"
        self._takes_positions = "position_ids" in known
        self._rows = np.empty(0, dtype=np.int64)
        """Place in the batch of each row that is still decoded."""
        self._mask = torch.empty((0, 0), dtype=torch.int64)
        self._cache: Any = None
        self._held: Sequence[int] = ()
        """What rows that begin later have read: they read it again."""

    @property
    def room(self) -> int:
        return 0 if len(self._rows) else self.slots

    def open(self) -> None:
        self.close()

    @torch.inference_mode()
    def step(self, tokens: Tensor, new: Sequence[New], longest: int) -> Tensor:
        if new:
            return self._start(self._beginnings(new))
        ids = torch.full((len(self._mask), 1), self._pad_id)
        ids[self._rows, 0] = tokens
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(ids), 1)], dim=-1)
        return self._forward(ids, self._mask.sum(dim=-1, keepdim=True) - 1)[self._rows]

    def drop(self, ended: Sequence[int]) -> Integers:
        order = np.setdiff1d(np.arange(len(self._rows)), np.asarray(ended))
        self._rows = self._rows[order]
        if not len(order):
            self._cache = None
        return order

    def close(self) -> None:
        self._rows, self._cache, self._held = self._rows[:0], None, ()

    def _beginnings(self, new: Sequence[New]) -> list[Sequence[int]]:
        """What each row that joins has read."""
        found: list[Sequence[int]] = []
        for item in new:
            ids = self._held if item.ids is None else item.ids
            if item.hold:
                self._held = ids
            found += [ids] * item.copies
        return found

    def _start(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        width = max(len(sequence) for sequence in sequences)
        ids = torch.full((len(sequences), width), self._pad_id)
        self._mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, width - len(sequence) :] = torch.tensor(sequence)
            self._mask[row, width - len(sequence) :] = 1
        self._rows, self._cache = np.arange(len(sequences)), None
        return self._forward(ids, (self._mask.cumsum(dim=-1) - 1).clamp(min=0))

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits [batch, V] of the next token."""
        device = self._model.device
        inputs = {"input_ids": ids.to(device), self._cache_name: self._cache}
        # Where the cache is a state, the mask is one of the tokens given: of whole sequences, it would be
        # multiplied with the one token that each appends, and change it unseen.
        if self._cache is None or self._cache_name == "past_key_values":
            inputs["attention_mask"] = self._mask.to(device)
        if self._takes_positions:
            inputs["position_ids"] = positions.to(device)
        with self._context():
            output = self._model(**inputs, use_cache=True, logits_to_keep=1)
        self._cache = getattr(output, self._cache_name)
        logits: Tensor = output.logits[:, -1].float()
        return logits

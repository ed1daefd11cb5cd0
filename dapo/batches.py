"""Ragged samples to batches of a bounded number of tokens, padded or packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from dapo.types import Sample

Layout = Literal["padded", "packed"]

USEFUL_SHARE = 0.9
"""Of the tokens of a padded batch, padding included, those of samples: at least this share."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass reads, and where in its output the completion tokens are predicted.

    N counts the completion tokens of all samples, in the order of the samples. There is no attention
    mask: the models are causal, so no token sees the padding, which stands behind all of its row.
    """

    input_ids: Tensor
    """int64 [B, W]."""
    position_ids: Tensor | None
    """int64 [1, W] where they keep packed samples apart; None where each row is one sample."""
    rows: Tensor
    """int64 [N]: row of the hidden state that predicts each completion token."""
    columns: Tensor
    """int64 [N]: column of that hidden state."""
    targets: Tensor
    """int64 [N]: the completion tokens."""
    logits_to_keep: int
    """How many of the last columns predict a completion token of some row; 0 means all."""

    def only(self, wanted: Tensor) -> Batch:
        """The same forward pass, of which only these completion tokens (bool [N]) are predicted."""
        return replace(
            self, rows=self.rows[wanted], columns=self.columns[wanted], targets=self.targets[wanted]
        )


def plan(samples: Sequence[Sample], tokens_per_batch: int, layout: Layout) -> list[list[int]]:
    """Split sample indices into batches of at most `tokens_per_batch` tokens, padding included.

    Longest first, so that samples of like length share a batch. A padded batch is closed before its
    useful share would fall under `USEFUL_SHARE`. A sample longer than the budget has a batch to itself.
    """
    order = sorted(range(len(samples)), key=lambda index: (-samples[index].total_tokens, index))
    batches: list[list[int]] = []
    tokens = width = 0
    for index in order:
        length = samples[index].total_tokens
        rows = len(batches[-1]) + 1 if batches else 0
        size = rows * width if layout == "padded" else tokens + length
        if not batches or size > tokens_per_batch or tokens + length < USEFUL_SHARE * size:
            batches.append([])
            tokens, width = 0, length
        batches[-1].append(index)
        tokens += length
    return batches


def useful_share(batches: Sequence[Sequence[Sample]], layout: Layout) -> float:
    """Of all tokens that the batches' forward passes read, padding included, those of samples."""
    lengths = [[sample.total_tokens for sample in batch] for batch in batches]
    tokens = sum(map(sum, lengths))
    return tokens / (sum(len(own) * max(own) for own in lengths) if layout == "padded" else tokens)


def collate(samples: Sequence[Sample], pad_id: int, layout: Layout) -> Batch:
    """Lay samples out as rows padded on the right, or one behind the other in a single row."""
    return _padded(samples, pad_id) if layout == "padded" else _packed(samples)


def _padded(samples: Sequence[Sample], pad_id: int) -> Batch:
    width = max(sample.total_tokens for sample in samples)
    ids = torch.full((len(samples), width), pad_id, dtype=torch.int64)
    rows, columns = [], []
    for row, sample in enumerate(samples):
        ids[row, : sample.total_tokens] = torch.tensor([*sample.prompt_ids, *sample.completion_ids])
        rows.append(torch.full((len(sample.completion_ids),), row))
        columns.append(_predicting(sample))
    return Batch(
        input_ids=ids,
        position_ids=None,
        rows=torch.cat(rows),
        columns=torch.cat(columns),
        targets=_targets(samples),
        logits_to_keep=width - min(len(sample.prompt_ids) for sample in samples) + 1,
    )


def _packed(samples: Sequence[Sample]) -> Batch:
    ids, positions, columns = [], [], []
    start = 0
    for sample in samples:
        ids.append(torch.tensor([*sample.prompt_ids, *sample.completion_ids]))
        positions.append(torch.arange(sample.total_tokens))
        columns.append(_predicting(sample) + start)
        start += sample.total_tokens
    column = torch.cat(columns)
    return Batch(
        input_ids=torch.cat(ids).unsqueeze(0),
        position_ids=torch.cat(positions).unsqueeze(0),
        rows=torch.zeros_like(column),
        columns=column,
        targets=_targets(samples),
        logits_to_keep=0,
    )


def _predicting(sample: Sample) -> Tensor:
    """Columns, within the sample, whose logits predict its completion tokens."""
    return torch.arange(len(sample.prompt_ids) - 1, sample.total_tokens - 1)


def _targets(samples: Sequence[Sample]) -> Tensor:
    return torch.tensor([token for sample in samples for token in sample.completion_ids], dtype=torch.int64)

"""Ragged samples to batches of a bounded number of tokens, padded or packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dapo.types import Sample

Layout = Literal["padded", "packed"]


@dataclass(frozen=True)
class Batch:
    """What one forward pass reads, and where in its output the completion tokens are predicted.

    N counts the completion tokens of all samples, in the order of the samples.
    """

    input_ids: Tensor
    """int64 [B, W]."""
    attention_mask: Tensor | None
    """int64 [B, W]; None where `position_ids` alone keep packed samples apart."""
    position_ids: Tensor
    """int64 [B, W]."""
    rows: Tensor
    """int64 [N]: row of the logits that predict each completion token."""
    columns: Tensor
    """int64 [N]: column of those logits."""
    targets: Tensor
    """int64 [N]: the completion tokens."""
    logits_to_keep: int
    """How many of the last columns have to be turned into logits; 0 means all."""


def plan(samples: Sequence[Sample], tokens_per_batch: int, layout: Layout) -> list[list[int]]:
    """Split sample indices into batches of at most `tokens_per_batch` tokens, padding included.

    Longest first, so that samples of like length share a batch. A sample longer than the budget has
    a batch to itself.
    """
    order = sorted(range(len(samples)), key=lambda index: (-samples[index].total_tokens, index))
    batches: list[list[int]] = []
    used = width = 0
    for index in order:
        length = samples[index].total_tokens
        cost = width if layout == "padded" else length
        if not batches or used + cost > tokens_per_batch:
            batches.append([])
            used, width = 0, length
            cost = length
        batches[-1].append(index)
        used += cost
    return batches


def collate(samples: Sequence[Sample], pad_id: int, layout: Layout) -> Batch:
    """Lay samples out as rows padded on the right, or one behind the other in a single row."""
    return _padded(samples, pad_id) if layout == "padded" else _packed(samples)


def _padded(samples: Sequence[Sample], pad_id: int) -> Batch:
    width = max(sample.total_tokens for sample in samples)
    ids = torch.full((len(samples), width), pad_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    rows, columns = [], []
    for row, sample in enumerate(samples):
        ids[row, : sample.total_tokens] = torch.tensor([*sample.prompt_ids, *sample.completion_ids])
        mask[row, : sample.total_tokens] = 1
        rows.append(torch.full((len(sample.completion_ids),), row))
        columns.append(_predicting(sample))
    return Batch(
        input_ids=ids,
        attention_mask=mask,
        position_ids=torch.arange(width).expand(len(samples), width),
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
        attention_mask=None,
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

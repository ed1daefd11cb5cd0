"""Ragged samples to batches of a bounded number of tokens, with prompts shared or rows padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dapo.engine.arrange import blocks
from dapo.engine.decoder import Integers
from dapo.learning.shared_attention import Rows
from dapo.types import Sample

Layout = Literal["shared", "padded"]
"""`shared`: each distinct prompt once, no padding. `padded`: a row for each sample."""

USEFUL_SHARE = 0.9
"""Of the tokens of a padded batch, padding included, those of samples: at least this share."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass reads, and where in its output the completion tokens are predicted.

    N counts the completion tokens of all samples, in the order of the samples. There is no attention
    mask: the models are causal, so no token sees the padding, which stands behind all of its row.
    """

    input_ids: Tensor
    """int64 [B, W]: rows; [1, W] where prompts are shared."""
    position_ids: Tensor | None
    """int64 [1, W] where prompts are shared; None where each row is one sample."""
    shared_rows: Rows | None
    """How attention sees the tokens where prompts are shared; else None."""
    rows: Tensor
    """int64 [N]: row of the hidden state that predicts each completion token."""
    columns: Tensor
    """int64 [N]: column of that hidden state."""
    targets: Tensor
    """int64 [N]: the completion tokens."""

    def only(self, wanted: Tensor) -> Batch:
        """The same forward pass, of which only these completion tokens (bool [N]) are predicted."""
        return replace(
            self, rows=self.rows[wanted], columns=self.columns[wanted], targets=self.targets[wanted]
        )


def plan(samples: Sequence[Sample], tokens_per_batch: int, layout: Layout) -> list[list[int]]:
    """Split sample indices into batches whose samples have at most `tokens_per_batch` tokens together.

    Where prompts are shared, samples of one prompt stay together as far as they fit. Where rows are padded,
    padding counts, the longest come first, so that samples of like length share a batch, and a batch is
    closed before its useful share would fall under `USEFUL_SHARE`. A sample longer than the budget has a
    batch to itself.
    """
    return (_plan_shared if layout == "shared" else _plan_padded)(samples, tokens_per_batch)


def _plan_shared(samples: Sequence[Sample], tokens_per_batch: int) -> list[list[int]]:
    batches: list[list[int]] = []
    tokens = 0
    for members in by_prompt(samples):
        for index in members:
            length = samples[index].total_tokens
            if not batches or tokens + length > tokens_per_batch:
                batches.append([])
                tokens = 0
            batches[-1].append(index)
            tokens += length
    return batches


def _plan_padded(samples: Sequence[Sample], tokens_per_batch: int) -> list[list[int]]:
    order = sorted(range(len(samples)), key=lambda index: (-samples[index].total_tokens, index))
    batches: list[list[int]] = []
    tokens = width = 0
    for index in order:
        length = samples[index].total_tokens
        size = (len(batches[-1]) + 1 if batches else 0) * width
        if not batches or size > tokens_per_batch or tokens + length < USEFUL_SHARE * size:
            batches.append([])
            tokens, width = 0, length
        batches[-1].append(index)
        tokens += length
    return batches


def by_prompt(samples: Sequence[Sample]) -> list[list[int]]:
    """Indices of the samples of each distinct prompt, in the order in which these come first."""
    members: dict[tuple[int, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        members.setdefault(tuple(sample.prompt_ids), []).append(index)
    return list(members.values())


def useful_tokens(batches: Sequence[Sequence[Sample]], layout: Layout) -> float:
    """Tokens of samples for each token that a forward pass reads: padding makes it less than 1, prompts
    that are read once for several samples more."""
    of_samples = sum(sample.total_tokens for batch in batches for sample in batch)
    return of_samples / sum(_tokens_read(batch, layout) for batch in batches)


def _tokens_read(samples: Sequence[Sample], layout: Layout) -> int:
    if layout == "padded":
        return len(samples) * max(sample.total_tokens for sample in samples)
    prompts = sum(len(samples[members[0]].prompt_ids) for members in by_prompt(samples))
    return prompts + sum(len(sample.completion_ids) - 1 for sample in samples)


def collate(samples: Sequence[Sample], pad_id: int, layout: Layout) -> Batch:
    """Lay samples out one behind the other with each prompt once, or as rows padded on the right."""
    return _shared(samples) if layout == "shared" else _padded(samples, pad_id)


def _padded(samples: Sequence[Sample], pad_id: int) -> Batch:
    width = max(sample.total_tokens for sample in samples)
    ids = torch.full((len(samples), width), pad_id, dtype=torch.int64)
    rows, columns = [], []
    for row, sample in enumerate(samples):
        ids[row, : sample.total_tokens] = torch.tensor([*sample.prompt_ids, *sample.completion_ids])
        rows.append(torch.full((len(sample.completion_ids),), row))
        columns.append(torch.arange(len(sample.prompt_ids) - 1, sample.total_tokens - 1))
    return Batch(ids, None, None, torch.cat(rows), torch.cat(columns), _targets(samples))


def _shared(samples: Sequence[Sample]) -> Batch:
    """The distinct prompts, then the completions without their last tokens, from which nothing follows."""
    ids: list[int] = []
    positions, sequences = [], []
    places: dict[tuple[int, ...], Integers] = {}
    for members in by_prompt(samples):
        prompt = tuple(samples[members[0]].prompt_ids)
        places[prompt] = np.arange(len(ids), len(ids) + len(prompt))
        positions.append(np.arange(len(prompt)))
        ids += prompt
    for sample in samples:
        own = np.arange(len(ids), len(ids) + len(sample.completion_ids) - 1)
        sequences.append(np.concatenate([places[tuple(sample.prompt_ids)], own]))
        positions.append(np.arange(len(sample.prompt_ids), len(sequences[-1])))
        ids += sample.completion_ids[:-1]
    predicting = [own[-len(s.completion_ids) :] for own, s in zip(sequences, samples, strict=True)]
    columns = torch.from_numpy(np.concatenate(predicting))
    return Batch(
        input_ids=torch.tensor(ids).unsqueeze(0),
        position_ids=torch.from_numpy(np.concatenate(positions)).unsqueeze(0),
        shared_rows=_rows(sequences, len(ids)),
        rows=torch.zeros_like(columns),
        columns=columns,
        targets=_targets(samples),
    )


def _rows(sequences: Sequence[Integers], count: int) -> Rows:
    """Sequences of places among `count` tokens as padded rows, in blocks of like length."""
    longest_first = sorted(sequences, key=len, reverse=True)
    shapes, padded, there = [], [], []
    for start, stop, width in blocks(np.array([len(own) for own in longest_first])):
        shapes.append((stop - start, width))
        for own in longest_first[start:stop]:
            padded.append(np.pad(own, (0, width - len(own))))
            there.append(np.arange(width) < len(own))
    tokens = np.concatenate(padded)
    filled = np.flatnonzero(np.concatenate(there))
    order = np.argsort(tokens[filled], kind="stable")
    copies = filled[order]
    offsets = np.searchsorted(tokens[copies], np.arange(count))
    arrays = (tokens, copies[offsets], copies, offsets)
    return Rows(tuple(shapes), *(torch.from_numpy(array) for array in arrays))


def _targets(samples: Sequence[Sample]) -> Tensor:
    return torch.tensor([token for sample in samples for token in sample.completion_ids], dtype=torch.int64)

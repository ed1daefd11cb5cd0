"""Groups that wait for the next step, as the tensors and plain values a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from dapo.sampling.entry import Entry
from dapo.types import Completion, GradedGroup, Group, Prompt, Rollout, Score

Tensors = dict[str, Tensor]
Find = Callable[[str], Prompt]

_COLUMNS = {
    "token_ids": torch.int64,
    "sampler_logprobs": torch.float64,
    "policy_versions": torch.int64,
    "trainable": torch.bool,
}
"""What a completion holds per token. All completions lie end to end in one tensor each."""


def pack_prompt(prompt: Prompt) -> dict[str, Any]:
    """A prompt by name: the stream finds it again."""
    return {"id": prompt.example.id, "visit": prompt.visit, "number": prompt.number}


def unpack_prompt(values: Mapping[str, Any], find: Find) -> Prompt:
    return replace(find(values["id"]), visit=values["visit"], number=values["number"])


def pack(entries: Sequence[Entry]) -> tuple[Tensors, list[dict[str, Any]]]:
    """The entries as tensors, and as values that JSON can hold."""
    completions = [completion for entry in entries for completion in _completions(entry)]
    tensors = {
        name: torch.tensor([value for c in completions for value in getattr(c, name)], dtype=dtype)
        for name, dtype in _COLUMNS.items()
    }
    return tensors, [_pack_entry(entry) for entry in entries]


def unpack(tensors: Tensors, values: Sequence[Mapping[str, Any]], find: Find) -> list[Entry]:
    """The entries `pack` was given. `find` gives the prompt of an example's id."""
    lengths = [completion["tokens"] for entry in values for completion in entry["completions"]]
    columns = {name: iter(tensors[name].split(lengths)) for name in _COLUMNS}
    return [_unpack_entry(entry, columns, find) for entry in values]


def _completions(entry: Entry) -> list[Completion]:
    if entry.graded is not None:
        return [rollout.completion for rollout in entry.graded.rollouts]
    return entry.in_flight.completions if entry.in_flight is not None else []


def _pack_entry(entry: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {
        "prompt": pack_prompt(entry.prompt),
        "completions": [
            {"tokens": len(c), "finish_reason": c.finish_reason, "text": c.text} for c in _completions(entry)
        ],
    }
    if entry.graded is not None:
        values |= {
            "verdict": entry.graded.verdict,
            "kept": entry.graded.kept,
            "scores": [
                {**asdict(rollout.score), "parts": dict(rollout.score.parts)}
                for rollout in entry.graded.rollouts
            ],
            "rewards": [rollout.reward for rollout in entry.graded.rollouts],
        }
    return values


def _unpack_entry(values: Mapping[str, Any], columns: Mapping[str, Iterator[Tensor]], find: Find) -> Entry:
    prompt = unpack_prompt(values["prompt"], find)
    completions = [
        Completion(
            **{name: next(column).tolist() for name, column in columns.items()},
            finish_reason=completion["finish_reason"],
            text=completion["text"],
        )
        for completion in values["completions"]
    ]
    if "scores" not in values:
        return Entry(prompt, in_flight=Group(prompt, completions) if completions else None)
    rollouts = [
        Rollout(completion, Score(**score), reward)
        for completion, score, reward in zip(completions, values["scores"], values["rewards"], strict=True)
    ]
    return Entry(prompt, graded=GradedGroup(prompt, rollouts, values["verdict"], values["kept"]))

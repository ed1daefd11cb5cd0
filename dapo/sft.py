"""Supervised warm-up: a base learns a task's worked demonstrations, so that it has a signal to reinforce."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor

from dapo.algorithms import Algorithm
from dapo.core.advantages import GroupCentered
from dapo.core.reduce import TokenMean, count_totals
from dapo.core.segments import Segments
from dapo.learning.learner import Learner
from dapo.text import TextCodec
from dapo.types import Example, Sample
from dapo.verify.yuan import thinks


@dataclass(frozen=True)
class CrossEntropy:
    """-log p of the demonstrated token."""

    name: ClassVar[str] = "cross_entropy"

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return -logprobs, {}


LIKELIHOOD = Algorithm(
    name="sft",
    paper="maximum likelihood",
    loss=CrossEntropy(),
    reduction=TokenMean(),
    advantage=GroupCentered(),
)
"""The learner's update turned into supervised training: every token of the update weighs the same."""


def warm_up(
    learner: Learner,
    codec: TextCodec,
    demonstrations: Iterator[tuple[Example, str]],
    num_updates: int,
    demonstrations_per_update: int,
    on_update: Callable[[int, dict[str, float]], None] = lambda update, metrics: None,
) -> None:
    """Maximise the likelihood of demonstrated completions, each ended by an end-of-sequence token.

    Raises:
        ValueError: if the demonstrations end before the updates do.
    """
    for update in range(1, num_updates + 1):
        chosen = list(islice(demonstrations, demonstrations_per_update))
        if len(chosen) < demonstrations_per_update:
            raise ValueError(f"the demonstrations ended before update {update}; the task has to repeat them")
        samples = [_to_sample(codec, example, text) for example, text in chosen]
        totals = count_totals([sample.counted for sample in samples])
        on_update(update, learner.update(samples, totals, LIKELIHOOD, (update - 1) / num_updates))


def _to_sample(codec: TextCodec, example: Example, text: str) -> Sample:
    completion = [*codec.encode_completion(text), codec.eos_id]
    mask = torch.ones(len(completion), dtype=torch.bool)
    nothing = torch.zeros(len(completion))
    return Sample(
        prompt_ids=codec.encode(example.messages, thinks(example)),
        completion_ids=completion,
        loss_mask=mask,
        sampler_logprobs=nothing,
        old_logprobs=nothing,
        weights=torch.ones(len(completion)),
        counted=mask,
    )

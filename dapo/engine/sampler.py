"""The embedded sampler: groups of completions in plain PyTorch, over the learner's own weights.

Prompts are admitted in waves. A wave's prompts are read once, the cache of each is copied for the
completions of its group, and finished sequences leave the batch at the next token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dapo.engine.decoder import Context, Decoder
from dapo.engine.draw import draw
from dapo.engine.noise import sequence_key, uniforms
from dapo.text import TextCodec
from dapo.types import Completion, FinishReason, Group, Prompt, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SamplerSettings:
    """How much the sampler works on at a time. Never changes what is drawn."""

    slots: int = 256
    """Sequences in flight at most."""

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError("slots must be at least 1")


@dataclass
class _Sequence:
    """A completion while it grows."""

    prompt: Prompt
    key: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


class Sampler:
    """Draws completions from a causal language model of transformers."""

    def __init__(
        self, model: PreTrainedModel, codec: TextCodec, settings: SamplerSettings, context: Context
    ) -> None:
        """`context` opens the autocast region that forward passes run in."""
        self.model = model
        self.codec = codec
        self.settings = settings
        self.context = context

    def generate(
        self, prompts: Iterator[Prompt | None], params: SamplingParams, policy_version: int = 0
    ) -> Iterator[Group]:
        """Yield each prompt's group as soon as its last completion has ended.

        `prompts` is pulled from whenever there is room. None means 'nothing to admit at this moment':
        what is in flight goes on, and the iterator is asked again afterwards. Sampling ends with the
        iterator, or when it gives None while nothing is in flight.
        """
        room = max(1, self.settings.slots // params.completions_per_prompt)
        while wave := _admit(prompts, room):
            for sequences in self._sample(wave, params):
                yield self._group(sequences, policy_version)

    def _sample(self, wave: list[Prompt], params: SamplingParams) -> Iterator[list[_Sequence]]:
        """Decode one wave to its end, yielding the finished sequences of each prompt."""
        unfinished = [_start(prompt, params) for prompt in wave]
        rows = [sequence for group in unfinished for sequence in group]
        prompts = [prompt.token_ids for prompt in wave]
        decoder = Decoder(self.model, self.context, prompts, params.completions_per_prompt, self.codec.pad_id)
        while rows:
            self._append(rows, decoder.logits, params)
            running = [row for row, sequence in enumerate(rows) if sequence.finish_reason is None]
            done = [group for group in unfinished if all(s.finish_reason for s in group)]
            unfinished = [group for group in unfinished if group not in done]
            yield from done
            if 0 < len(running) < len(rows):
                decoder.keep(running)
            rows = [rows[row] for row in running]
            if rows:
                decoder.advance([sequence.token_ids[-1] for sequence in rows])

    def _append(self, rows: list[_Sequence], logits: Tensor, params: SamplingParams) -> None:
        """Draw the next token of every sequence and see which of them end."""
        position = len(rows[0].token_ids)
        keys = torch.tensor([sequence.key for sequence in rows], device=logits.device)
        tokens, logprobs = draw(logits, uniforms(keys, torch.full_like(keys, position)), params)
        for sequence, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            sequence.token_ids.append(token)
            sequence.logprobs.append(logprob)
            sequence.finish_reason = self._finish_reason(sequence, params)

    def _finish_reason(self, sequence: _Sequence, params: SamplingParams) -> FinishReason | None:
        if sequence.token_ids[-1] in self.codec.eos_ids:
            return "eos"
        if params.stop:
            # A token adds at least one byte, so the end of a stop string lies within its last bytes.
            tail = self.codec.decode(sequence.token_ids[-max(len(s.encode()) for s in params.stop) - 1 :])
            if any(stop in tail for stop in params.stop):
                return "stop"
        return "length" if len(sequence.token_ids) >= sequence.prompt.max_completion_tokens else None

    def _group(self, sequences: list[_Sequence], policy_version: int) -> Group:
        completions = []
        for sequence in sequences:
            length = len(sequence.token_ids)
            assert sequence.finish_reason is not None
            completions.append(
                Completion(
                    token_ids=sequence.token_ids,
                    sampler_logprobs=sequence.logprobs,
                    policy_versions=[policy_version] * length,
                    trainable=[True] * length,
                    finish_reason=sequence.finish_reason,
                    text=self.codec.decode(sequence.token_ids),
                )
            )
        return Group(sequences[0].prompt, completions)


def _admit(prompts: Iterator[Prompt | None], room: int) -> list[Prompt]:
    """Pull at most `room` prompts, fewer where the iterator has none to give at this moment."""
    wave: list[Prompt] = []
    while len(wave) < room and (prompt := next(prompts, None)) is not None:
        wave.append(prompt)
    return wave


def _start(prompt: Prompt, params: SamplingParams) -> list[_Sequence]:
    return [
        _Sequence(prompt, sequence_key(params.seed, params.purpose, prompt.example.id, prompt.visit, index))
        for index in range(params.completions_per_prompt)
    ]

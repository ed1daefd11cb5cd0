"""The embedded sampler: groups of completions in plain PyTorch, over the learner's own weights.

Every tick draws one token for each sequence in flight. A sequence that has ended leaves its slot at
once; as soon as there is room for a whole group, the next prompt is pulled in. A prompt is read once
and its cache copied for the completions of its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dapo.engine.decoder import Context, Decoder
from dapo.engine.draw import draw
from dapo.engine.noise import sequence_key, uniforms
from dapo.text import TextCodec
from dapo.types import Admission, Completion, FinishReason, Group, Prompt, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SamplerSettings:
    """How much the sampler works on at a time. Never changes what is drawn."""

    slots: int = 256
    """Sequences in flight at most."""
    prefill_tokens: int = 16384
    """Tokens of new sequences read in one forward pass, padding included."""

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError("slots must be at least 1")
        if self.prefill_tokens < 1:
            raise ValueError("prefill_tokens must be at least 1")


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
        self, work: Iterator[Admission | None], params: SamplingParams, policy_version: int = 0
    ) -> EmbeddedGeneration:
        """Answer prompts, and go on with groups that were handed back in flight."""
        return EmbeddedGeneration(self, work, params, policy_version)


@dataclass
class _Row:
    """A completion while it grows."""

    group: Group
    completion: Completion
    key: int

    def context_ids(self) -> list[int]:
        return [*self.group.prompt.token_ids, *self.completion.token_ids]


class EmbeddedGeneration:
    """The groups of one call of `generate`: see `dapo.generation.Generation`."""

    def __init__(
        self,
        sampler: Sampler,
        work: Iterator[Admission | None],
        params: SamplingParams,
        policy_version: int,
    ) -> None:
        self.tick = 0
        self.drawn = 0
        self._codec, self._slots = sampler.codec, sampler.settings.slots
        self._work, self._params, self._version = work, params, policy_version
        self._decoder = Decoder(
            sampler.model, sampler.context, sampler.codec.pad_id, sampler.settings.prefill_tokens
        )
        self._rows: list[_Row] = []
        self._open: dict[int, Group] = {}

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def step(self) -> list[Group]:
        self._admit()
        return self._draw() if self._rows else []

    def __iter__(self) -> Iterator[Group]:
        while True:
            ended = self.step()
            yield from ended
            if not ended and not self.in_flight:
                return

    def stop(self) -> list[Group]:
        in_flight = list(self._open.values())
        self._open, self._rows, self._work = {}, [], iter(())
        self._decoder.keep([])
        return in_flight

    def _admit(self) -> None:
        """Pull while there is room for a whole group, and read what was pulled."""
        sequences: list[list[int]] = []
        copies: list[int] = []
        while self._has_room() and (admission := next(self._work, None)) is not None:
            fresh = isinstance(admission, Prompt)
            group = self._start(admission) if isinstance(admission, Prompt) else admission
            rows = [
                _Row(group, completion, self._key(group, index))
                for index, completion in enumerate(group.completions)
                if completion.finish_reason is None
            ]
            self._open[id(group)] = group
            self._rows += rows
            sequences += [rows[0].context_ids()] if fresh else [row.context_ids() for row in rows]
            copies += [len(rows)] if fresh else [1] * len(rows)
        if sequences:
            self._decoder.admit(sequences, copies)

    def _has_room(self) -> bool:
        joins = self._decoder.grows or not self._decoder.rows
        return joins and self._slots - len(self._rows) >= self._params.completions_per_prompt

    def _start(self, prompt: Prompt) -> Group:
        return Group(
            prompt,
            [Completion([], [], [], [], None, "") for _ in range(self._params.completions_per_prompt)],
        )

    def _key(self, group: Group, index: int) -> int:
        prompt, params = group.prompt, self._params
        return sequence_key(params.seed, params.purpose, prompt.example.id, prompt.visit, index)

    def _draw(self) -> list[Group]:
        """One tick: the next token of every sequence. Returns the groups that end with it."""
        logits = self._decoder.logits
        keys = torch.tensor([row.key for row in self._rows], device=logits.device)
        positions = torch.tensor([len(row.completion) for row in self._rows], device=logits.device)
        tokens, logprobs = draw(logits, uniforms(keys, positions), self._params)
        for row, token, logprob in zip(self._rows, tokens.tolist(), logprobs.tolist(), strict=True):
            self._append(row, token, logprob)
        self.tick += 1
        self.drawn += len(self._rows)
        ended = self._drop_ended()
        if self._rows:
            self._decoder.advance([row.completion.token_ids[-1] for row in self._rows])
        return ended

    def _append(self, row: _Row, token: int, logprob: float) -> None:
        completion = row.completion
        completion.token_ids.append(token)
        completion.sampler_logprobs.append(logprob)
        completion.policy_versions.append(self._version)
        completion.trainable.append(True)
        completion.finish_reason = self._finish_reason(completion, row.group.prompt)

    def _finish_reason(self, completion: Completion, prompt: Prompt) -> FinishReason | None:
        if completion.token_ids[-1] in self._codec.eos_ids:
            return "eos"
        stops = self._params.stop
        if stops:
            # A token adds at least one byte, so the end of a stop string lies within its last bytes.
            tail = self._codec.decode(completion.token_ids[-max(len(s.encode()) for s in stops) - 1 :])
            if any(stop in tail for stop in stops):
                return "stop"
        return "length" if len(completion) >= prompt.max_completion_tokens else None

    def _drop_ended(self) -> list[Group]:
        running = [index for index, row in enumerate(self._rows) if row.completion.finish_reason is None]
        if len(running) == len(self._rows):
            return []
        ended = [row for row in self._rows if row.completion.finish_reason is not None]
        for row in ended:
            row.completion.text = self._codec.decode(row.completion.token_ids)
        groups = {id(row.group): row.group for row in ended}
        self._rows = [self._rows[index] for index in running]
        self._decoder.keep(running)
        return [self._open.pop(key) for key, group in groups.items() if group.finished]

"""The embedded sampler: groups of completions in plain PyTorch, over the learner's own weights.

Every tick draws one token for each sequence in flight. A sequence that has ended leaves its slot at once,
and the next one that waits takes it. A prompt is read once, and what was read shared by its group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from dapo.engine.choice import choose
from dapo.engine.decoder import Context, Decoder, New
from dapo.engine.draw import draw
from dapo.engine.memory import slots_for
from dapo.engine.noise import sequence_key
from dapo.engine.rows import Flight, Rows
from dapo.engine.stops import Stops
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Admission, Completion, FinishReason, Group, Prompt, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SamplerSettings:
    """How much the sampler works on at a time. Never changes what is drawn."""

    slots: int | None = None
    """Sequences in flight at most. None: as many as the memory holds when it starts, up to 256."""
    prefill_tokens: int = 16384
    """Tokens of new sequences read in one forward pass, padding included."""
    sequence_tokens: int | None = None
    """The longest sequence to expect, prompt and completion; None: as long as the model can read."""
    cuda_graphs: bool = True
    """Record decoding as CUDA graphs, on GPUs. Each generation records anew what it meets."""

    def __post_init__(self) -> None:
        if self.slots is not None and self.slots < 1:
            raise ValueError("slots must be at least 1; leave it out to choose by memory")
        if self.prefill_tokens < 1:
            raise ValueError("prefill_tokens must be at least 1")


class Sampler:
    """Draws completions from a causal language model of transformers.

    Attributes:
        slots: sequences in flight at most; fixed from the start.
        notes: what there is to say about how this model is sampled, where it is not the fast way.
    """

    def __init__(
        self, model: PreTrainedModel, codec: TextCodec, settings: SamplerSettings, context: Context
    ) -> None:
        """`context` opens the autocast region that forward passes run in."""
        self.model, self.codec, self.settings = model, codec, settings
        self.slots = settings.slots or slots_for(model, context, settings.sequence_tokens)
        self._make, self.notes = choose(
            model, context, codec.pad_id, settings.prefill_tokens, settings.cuda_graphs
        )
        self._decoder: Decoder | None = None

    def generate(
        self, work: Iterator[Admission | None], params: SamplingParams, policy_version: int = 0
    ) -> EmbeddedGeneration:
        """Answer prompts, and go on with groups that were handed back in flight.

        The model speaks with the weights it has now: an earlier generation must have ended.
        """
        return EmbeddedGeneration(self, work, params, policy_version)

    def decoder(self) -> Decoder:
        """A decoder without sequences, over the weights as they are."""
        if self._decoder is None or self._decoder.slots != self.slots:
            self._decoder = self._make(self.slots)
        self._decoder.open()
        return self._decoder


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
        self.slots = sampler.slots
        self._codec, self._device = sampler.codec, sampler.model.device
        self._work, self._params, self._version = work, params, policy_version
        self._decoder = sampler.decoder()
        self._rows = Rows(self.slots)
        self._stops = Stops(sampler.codec, params)
        self._last = torch.empty(0, dtype=torch.int64)
        self._waiting: deque[Flight] = deque()
        """Completions of admitted groups that have no slot yet: of one fresh group at most."""
        self._held: Group | None = None
        """The group whose prompt the decoder holds, because completions of it wait."""
        self._open: dict[int, Group] = {}
        self._longest = 0

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def step(self) -> list[Group]:
        new = self._begin()
        return self._draw(new) if len(self._rows) else []

    def __iter__(self) -> Iterator[Group]:
        while True:
            ended = self.step()
            yield from ended
            if not ended and not self.in_flight:
                return

    def stop(self) -> list[Group]:
        in_flight = list(self._open.values())
        self._rows.write(range(len(self._rows)), self._version)
        self._open, self._work, self._rows = {}, iter(()), Rows(self.slots)
        self._waiting.clear()
        self._decoder.close()
        return in_flight

    def _begin(self) -> list[New]:
        """Fill the free slots, with what waits or is admitted. Returns what the decoder has to read."""
        new: list[New] = []
        begun: list[Flight] = []
        while len(begun) < self._decoder.room and self._next_waits():
            flight = self._waiting.popleft()
            if flight.fresh and new and begun[-1].fresh and begun[-1].group is flight.group:
                new[-1] = New(new[-1].ids, new[-1].copies + 1)
            elif flight.fresh and self._held is flight.group:
                new.append(New(None, 1))
            else:
                new.append(New(flight.context_ids(), 1))
            begun.append(flight)
        return self._joined(new, begun)

    def _joined(self, new: list[New], begun: list[Flight]) -> list[New]:
        """Put what has begun behind the rows, and hold its prompt where more of its group wait."""
        if begun and begun[-1].fresh:
            more = bool(self._waiting) and self._waiting[0].group is begun[-1].group
            self._held = begun[-1].group if more else None
            new[-1] = New(new[-1].ids, new[-1].copies, hold=more)
        for flight in begun:
            prompt = flight.group.prompt
            self._longest = max(self._longest, len(prompt.token_ids) + prompt.max_completion_tokens)
        self._rows.add(begun)
        return new

    def _next_waits(self) -> bool:
        """Whether a completion waits for a slot; admits the next group where none does."""
        if not self._waiting:
            admission = next(self._work, None)
            if admission is None:
                return False
            group = self._start(admission) if isinstance(admission, Prompt) else admission
            self._open[id(group)] = group
            self._waiting += (
                Flight(group, completion, self._key(group, index))
                for index, completion in enumerate(group.completions)
                if completion.finish_reason is None
            )
        return True

    def _start(self, prompt: Prompt) -> Group:
        return Group(
            prompt,
            [Completion([], [], [], [], None, "") for _ in range(self._params.completions_per_prompt)],
        )

    def _key(self, group: Group, index: int) -> int:
        prompt, params = group.prompt, self._params
        return sequence_key(params.seed, params.purpose, prompt.example.id, prompt.visit, index)

    def _draw(self, new: Sequence[New]) -> list[Group]:
        """One tick: the next token of every sequence. Returns the groups that end with it."""
        logits = self._decoder.step(self._last, new, self._longest)
        drawn, logprobs = draw(logits, self._rows.uniforms(self._device), self._params)
        self._last = drawn.cpu()
        tokens, chances = self._last.numpy(), logprobs.cpu().numpy()
        if np.isnan(chances).any():
            raise UserError(
                "the policy's logits are not numbers: its weights have overflowed or hold nan. The last "
                "checkpoint is from before; go on from it with a lower optimizer.lr or max_grad_norm"
            )
        self._rows.append(tokens, chances)
        self.tick += 1
        self.drawn += len(tokens)
        ended = self._stops.ended(self._rows, tokens)
        return self._end(ended) if ended else []

    def _end(self, ended: dict[int, FinishReason]) -> list[Group]:
        self._rows.write(list(ended), self._version)
        flights = [self._rows.flights[row] for row in ended]
        for flight, reason in zip(flights, ended.values(), strict=True):
            flight.completion.finish_reason = reason
            flight.completion.text = self._codec.decode(flight.completion.token_ids)
        order = self._decoder.drop(list(ended))
        self._rows.keep(order)
        self._last = self._last[torch.from_numpy(order)]
        groups = {id(flight.group): flight.group for flight in flights}
        return [self._open.pop(key) for key, group in groups.items() if group.finished]

"""A sampler without a model: verdicts come from fixed pass rates, lengths from a distribution.

Schedulers are measured on it, thousands of groups in seconds. Everything drawn depends on
(seed, prompt, visit, completion) alone, as with the real sampler.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dapo.types import Admission, Completion, Example, GradedGroup, Group, Prompt, Rollout, Score

Array = np.ndarray[Any, np.dtype[Any]]

Lengths = Callable[[np.random.Generator, Array], Array]
"""Tokens of completions, at least 1, given a source of randomness and whether each of them is right."""

RIGHT, WRONG = "right", "wrong"


def population(pass_rates: Mapping[str, float]) -> list[Prompt]:
    """Prompts that are answered right with these probabilities."""
    return [
        Prompt(Example(name, (), RIGHT, {"pass_rate": rate}), (0,), 1) for name, rate in pass_rates.items()
    ]


def grade(group: Group) -> GradedGroup:
    """What the simulated completions deserve."""
    scores = [Score(float(completion.text == RIGHT)) for completion in group.completions]
    rollouts = [Rollout(c, s, 2 * s.score - 1) for c, s in zip(group.completions, scores, strict=True)]
    return GradedGroup(group.prompt, rollouts)


def equal_lengths(tokens: int) -> Lengths:
    """All completions have so many tokens."""
    return lambda source, right: np.full(len(right), tokens)


class SimulatedSampler:
    """Answers prompts of a `population`."""

    def __init__(self, group_size: int, slots: int, lengths: Lengths, seed: int = 0) -> None:
        self.group_size, self.slots, self.lengths, self.seed = group_size, slots, lengths, seed
        self._known: dict[tuple[str, int], list[tuple[str, int]]] = {}

    def generate(self, work: Iterator[Admission | None], version: int = 0) -> SimulatedGeneration:
        return SimulatedGeneration(self, work, version)

    def outcomes(self, prompt: Prompt) -> list[tuple[str, int]]:
        """What each completion of the prompt will say, and how many tokens it will have."""
        key = prompt.example.id, prompt.visit
        if key not in self._known:
            source = np.random.default_rng((self.seed, prompt.visit, *prompt.example.id.encode()))
            right = source.random(self.group_size) < prompt.example.columns["pass_rate"]
            lengths = self.lengths(source, right)
            self._known[key] = [
                (RIGHT if is_right else WRONG, int(length))
                for is_right, length in zip(right, lengths, strict=True)
            ]
        return self._known[key]

    def forget(self, prompt: Prompt) -> None:
        """Its group has ended."""
        del self._known[prompt.example.id, prompt.visit]


class SimulatedGeneration:
    """See `dapo.generation.Generation`."""

    def __init__(self, sampler: SimulatedSampler, work: Iterator[Admission | None], version: int) -> None:
        self.tick = 0
        self.drawn = 0
        self.slots = sampler.slots
        self._sampler, self._work, self._version = sampler, work, version
        self._running = 0
        self._waiting: deque[tuple[Group, int]] = deque()
        """Completions that wait for a slot: a group, and which of its completions."""
        self._ends: dict[int, list[Group]] = {}
        """The groups of the completions that end at a tick."""
        self._begun: dict[int, dict[int, int]] = {}
        """By a group's number: the tick at which each of its completions in flight began."""
        self._open: dict[int, Group] = {}

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def step(self) -> list[Group]:
        while self._running < self.slots and self._next_waits():
            self._begin(*self._waiting.popleft())
        if not self._open:
            return []
        self.tick += 1
        self.drawn += self._running
        ending = self._ends.pop(self.tick, [])
        self._running -= len(ending)
        ended = []
        for number in dict.fromkeys(group.prompt.number for group in ending):
            self._write(number)
            if self._open[number].finished:
                ended.append(self._open.pop(number))
        return ended

    def __iter__(self) -> Iterator[Group]:
        while True:
            ended = self.step()
            yield from ended
            if not ended and not self._open:
                return

    def stop(self) -> list[Group]:
        for number in self._open:
            self._write(number)
        groups, self._open = list(self._open.values()), {}
        return groups

    def _next_waits(self) -> bool:
        """Whether a completion waits for a slot; admits the next group where none does."""
        if not self._waiting:
            admission = next(self._work, None)
            if admission is None:
                return False
            group = admission if isinstance(admission, Group) else self._start(admission)
            self._open[group.prompt.number], self._begun[group.prompt.number] = group, {}
            running = [i for i, c in enumerate(group.completions) if c.finish_reason is None]
            self._waiting += ((group, index) for index in running)
        return True

    def _start(self, prompt: Prompt) -> Group:
        return Group(prompt, [Completion([], [], [], [], None, "") for _ in range(self._sampler.group_size)])

    def _begin(self, group: Group, index: int) -> None:
        _, length = self._sampler.outcomes(group.prompt)[index]
        missing = length - len(group.completions[index])
        self._ends.setdefault(self.tick + missing, []).append(group)
        self._begun[group.prompt.number][index] = self.tick
        self._running += 1

    def _write(self, number: int) -> None:
        """Put down what was drawn for a group since its completions began."""
        group, outcomes = self._open[number], self._sampler.outcomes(self._open[number].prompt)
        for index, began in list(self._begun[number].items()):
            completion, (text, length) = group.completions[index], outcomes[index]
            new = self.tick - began
            self._begun[number][index] = self.tick
            completion.token_ids += [0] * new
            completion.sampler_logprobs += [0.0] * new
            completion.policy_versions += [self._version] * new
            completion.trainable += [True] * new
            if len(completion) == length:
                completion.finish_reason, completion.text = "eos", text
                del self._begun[number][index]
        if group.finished:
            self._sampler.forget(group.prompt)

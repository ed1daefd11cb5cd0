"""A sampler without a model: verdicts come from fixed pass rates, lengths from a distribution.

Schedulers are measured on it, thousands of groups in seconds. Everything drawn depends on
(seed, prompt, visit, completion) alone, as with the real sampler.
"""

from __future__ import annotations

from collections import Counter
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
        self._sampler, self._work, self._version = sampler, work, version
        self._running = 0
        self._ends: Counter[int] = Counter()
        """How many sequences end at a tick."""
        self._open: dict[int, tuple[Group, int]] = {}
        """Groups in flight by number, with the tick they were admitted at."""
        self._due: dict[int, list[int]] = {}

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def step(self) -> list[Group]:
        while self._sampler.slots - self._running >= self._sampler.group_size:
            admission = next(self._work, None)
            if admission is None:
                break
            self._admit(admission)
        if not self._open:
            return []
        self.tick += 1
        self.drawn += self._running
        self._running -= self._ends.pop(self.tick, 0)
        return [self._write(*self._open.pop(number)) for number in self._due.pop(self.tick, [])]

    def __iter__(self) -> Iterator[Group]:
        while True:
            ended = self.step()
            yield from ended
            if not ended and not self._open:
                return

    def stop(self) -> list[Group]:
        groups = [self._write(*entry) for entry in self._open.values()]
        self._open = {}
        return groups

    def _admit(self, admission: Admission) -> None:
        if isinstance(admission, Prompt):
            group = Group(
                admission, [Completion([], [], [], [], None, "") for _ in range(self._sampler.group_size)]
            )
        else:
            group = admission
        missing = [
            length - len(completion) if completion.finish_reason is None else 0
            for completion, (_, length) in self._with_outcomes(group)
        ]
        for tokens in filter(None, missing):
            self._ends[self.tick + tokens] += 1
            self._running += 1
        self._open[group.prompt.number] = group, self.tick
        self._due.setdefault(self.tick + max(missing), []).append(group.prompt.number)

    def _write(self, group: Group, admitted: int) -> Group:
        """Put down what was drawn since the group was admitted."""
        for completion, (text, length) in self._with_outcomes(group):
            if completion.finish_reason is not None:
                continue
            new = min(self.tick - admitted, length - len(completion))
            completion.token_ids += [0] * new
            completion.sampler_logprobs += [0.0] * new
            completion.policy_versions += [self._version] * new
            completion.trainable += [True] * new
            if len(completion) == length:
                completion.finish_reason, completion.text = "eos", text
        if group.finished:
            self._sampler.forget(group.prompt)
        return group

    def _with_outcomes(self, group: Group) -> list[tuple[Completion, tuple[str, int]]]:
        return list(zip(group.completions, self._sampler.outcomes(group.prompt), strict=True))

"""The simulated sampler, told the lengths, goes through the same ticks as the embedded one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from dapo.generation import Generation
from dapo.sampling.simulation import RIGHT, SimulatedSampler, equal_lengths
from dapo.types import Admission, Prompt, SamplingParams
from tests.unit.engine import tiny

G = 4
PROMPTS = tiny.prompts([6, 14, 3, 9, 1, 12, 7])


class Told(SimulatedSampler):
    """Writes completions of the lengths it is told."""

    def __init__(self, slots: int, lengths: dict[str, list[int]]) -> None:
        super().__init__(G, slots, equal_lengths(1))
        self._told = lengths

    def outcomes(self, prompt: Prompt) -> list[tuple[str, int]]:
        return [(RIGHT, length) for length in self._told[prompt.example.id]]

    def forget(self, prompt: Prompt) -> None:
        pass


@dataclass
class Watched:
    """What is pulled from the work, and when. It has nothing to admit at every third question."""

    work: Sequence[Admission]
    generation: Generation | None = None
    pulled: list[tuple[int, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Admission | None]:
        for place, admission in enumerate(self.work):
            prompt = admission if isinstance(admission, Prompt) else admission.prompt
            self.pulled.append((self.generation.tick if self.generation else 0, prompt.example.id))
            yield admission
            if place % 3 == 2:
                yield None


def watched(generation: Generation, work: Watched, ticks: int) -> list[tuple[int, int, int, list[str]]]:
    """Of each step: the tick, tokens drawn, groups in flight, and those that ended."""
    work.generation = generation
    found = []
    for _ in range(ticks):
        ended = sorted(group.prompt.example.id for group in generation.step())
        found.append((generation.tick, generation.drawn, generation.in_flight, ended))
    return found


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 6, 9, 64])
def test_both_samplers_pull_and_end_at_the_same_ticks(slots: int) -> None:
    embedded = tiny.sampler(tiny.model(), slots)
    params = SamplingParams(completions_per_prompt=G)
    lengths = {
        group.prompt.example.id: [len(c) for c in group.completions]
        for group in embedded.generate(iter(PROMPTS), params)
    }
    # Of completions that end by an end token, siblings end at different ticks.
    assert any(len(set(group)) > 1 for group in lengths.values())
    simulated = Told(slots, lengths)
    most = sum(map(sum, lengths.values())) + 10
    for first in (0, 1, 5, 20):
        steps, pulls, handed = [], [], []
        for generate in (lambda work: embedded.generate(work, params), simulated.generate):
            early = Watched(PROMPTS)
            generation = generate(iter(early))
            seen = watched(generation, early, first)
            back = generation.stop()
            late = Watched([*back, *PROMPTS[len(early.pulled) :]])
            handed.append([(g.prompt.example.id, [len(c) for c in g.completions]) for g in back])
            steps.append([*seen, *watched(generate(iter(late)), late, most)])
            pulls.append([early.pulled, late.pulled])
        assert handed[0] == handed[1]
        assert pulls[0] == pulls[1]
        assert steps[0] == steps[1]
        assert sum(len(ended) for *_, ended in steps[0]) == len(PROMPTS)

"""A prompt is read once for its group, however its completions come by their slots."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from dapo.engine.fused import FusedDecoder
from dapo.engine.sampler import EmbeddedGeneration
from dapo.types import Group, SamplingParams
from tests.unit.engine import tiny

MODEL = tiny.model()
PARAMS = SamplingParams(completions_per_prompt=4, seed=2)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every forward pass."""
    counts: list[int] = []
    layers: Any = FusedDecoder._layers

    def counting(self: FusedDecoder, ids: Tensor, *others: Any) -> Tensor:
        counts.append(len(ids))
        return layers(self, ids, *others)

    monkeypatch.setattr(FusedDecoder, "_layers", counting)
    return counts


def run(generation: EmbeddedGeneration, computed: list[int]) -> tuple[list[Group], int]:
    """The groups, and the tokens that were read for them.

    What is drawn is decoded, but for the last token of a completion. The first one of each comes from the
    logits of what was read.
    """
    computed.clear()
    before = generation.drawn
    groups = list(generation)
    began = {id(completion) for group in groups for completion in group.completions}
    return groups, sum(computed) - (generation.drawn - before) + len(began)


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 5, 6, 7, 8, 64])
def test_a_prompt_is_read_once_whatever_the_slots(computed: list[int], slots: int) -> None:
    """Few slots begin a group in parts, and the next group beside its last completions."""
    prompts = tiny.prompts([6, 3, 9, 1])
    generation = tiny.sampler(MODEL, slots).generate(iter(prompts), PARAMS)
    groups, read = run(generation, computed)
    assert len(groups) == 4
    assert read == sum(len(prompt.token_ids) for prompt in prompts)


@pytest.mark.parametrize("slots", [3, 6])
@pytest.mark.parametrize("ticks", [1, 3, 4])
def test_a_group_handed_back_with_completions_not_begun_goes_on_undisturbed(
    computed: list[int], slots: int, ticks: int
) -> None:
    """What was begun is read again, each completion by itself, and the prompt once for the others."""
    prompts = tiny.prompts([6, 8])
    expected = tiny.tokens_of(list(tiny.sampler(MODEL, 8).generate(iter(prompts), PARAMS)))
    first = tiny.sampler(MODEL, slots).generate(iter(prompts), PARAMS)
    for _ in range(ticks):
        assert first.step() == []
    back = first.stop()
    begun = [len(g.prompt.token_ids) + len(c) for g in back for c in g.completions if len(c)]
    assert len(begun) == slots
    waiting = prompts[len(back) :]
    in_parts = [g.prompt for g in back if not all(len(c) for c in g.completions)]
    second = tiny.sampler(MODEL, slots).generate(iter([*back, *waiting]), PARAMS)
    groups, read = run(second, computed)
    assert tiny.tokens_of(groups) == expected
    assert read == sum(begun) + sum(len(prompt.token_ids) for prompt in [*in_parts, *waiting])


def test_completions_of_a_held_prompt_are_drawn_like_their_siblings() -> None:
    """Two groups that begin in parts, side by side with the ends of each other."""
    prompts = tiny.prompts([5, 7, 4])
    groups = list(tiny.sampler(MODEL, 3).generate(iter(prompts), PARAMS))
    for group in groups:
        for completion in group.completions:
            expected = tiny.plain_logprobs(MODEL, group.prompt, completion)
            assert completion.sampler_logprobs == pytest.approx(expected, abs=1e-5)

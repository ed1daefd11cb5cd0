"""The sampler says what the model would: compared with transformers, and with plain forward passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dapo.data.prompts import build_prompts
from dapo.engine.sampler import Sampler, SamplerSettings
from dapo.errors import UserError
from dapo.model import ModelSettings, load_codec, load_model
from dapo.tasks.arithmetic import Task
from dapo.text import TextCodec
from dapo.types import Group, Prompt, SamplingParams

TASK = Task(train_size=12, eval_size=4, largest=999)


@pytest.fixture(scope="module")
def sampler(tiny_model: Path) -> Sampler:
    settings = ModelSettings(str(tiny_model), template="plain")
    return Sampler(load_model(settings), load_codec(settings), SamplerSettings(slots=64), nullcontext)


@pytest.fixture(scope="module")
def prompts(sampler: Sampler) -> list[Prompt]:
    return build_prompts(TASK.train(), sampler.codec, 64, 24)[0]


def deaf(codec: TextCodec) -> TextCodec:
    """One that knows no end token, so that completions reach their limits."""
    other = copy(codec)
    other.eos_ids = frozenset()
    return other


def tokens_of(groups: list[Group]) -> dict[str, list[list[int]]]:
    return {g.prompt.example.id: [c.token_ids for c in g.completions] for g in groups}


def test_greedy_equals_transformers_generate(sampler: Sampler, prompts: list[Prompt]) -> None:
    found = tokens_of(list(sampler.generate(iter(prompts), SamplingParams(temperature=0))))
    for prompt in prompts:
        ids = torch.tensor([list(prompt.token_ids)])
        output = sampler.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
        )
        assert found[prompt.example.id] == [output[0, ids.shape[1] :].tolist()]


@pytest.mark.parametrize("slots", [4, 20, 64])
def test_batch_size_changes_no_draw(sampler: Sampler, prompts: list[Prompt], slots: int) -> None:
    params = SamplingParams(completions_per_prompt=4, seed=3)
    expected = tokens_of(list(sampler.generate(iter(prompts), params)))
    small = Sampler(sampler.model, sampler.codec, SamplerSettings(slots=slots), nullcontext)
    assert tokens_of(list(small.generate(iter(reversed(prompts)), params))) == expected


def test_seed_purpose_and_visit_each_draw_anew(sampler: Sampler, prompts: list[Prompt]) -> None:
    base = SamplingParams(completions_per_prompt=2)
    again = [replace(prompt, visit=1) for prompt in prompts]
    draws = [
        tokens_of(list(sampler.generate(iter(prompts), base))),
        tokens_of(list(sampler.generate(iter(prompts), replace(base, seed=1)))),
        tokens_of(list(sampler.generate(iter(prompts), replace(base, purpose="eval")))),
        tokens_of(list(sampler.generate(iter(again), base))),
    ]
    assert all(a != b for index, a in enumerate(draws) for b in draws[:index])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampler_logprobs_are_those_of_a_plain_forward_pass(
    sampler: Sampler, prompts: list[Prompt], temperature: float
) -> None:
    params = SamplingParams(completions_per_prompt=4, temperature=temperature)
    for group in sampler.generate(iter(prompts), params):
        for completion in group.completions:
            ids = torch.tensor([[*group.prompt.token_ids, *completion.token_ids]])
            with torch.no_grad():
                logits = sampler.model(ids).logits[0, len(group.prompt.token_ids) - 1 : -1]
            expected = (
                (logits / temperature).log_softmax(-1).gather(-1, ids[0, len(group.prompt.token_ids) :, None])
            )
            assert completion.sampler_logprobs == pytest.approx(expected[:, 0].tolist(), abs=1e-5)


def test_completions_end_for_a_reason(sampler: Sampler, prompts: list[Prompt]) -> None:
    limited = [replace(prompt, max_completion_tokens=3 + index) for index, prompt in enumerate(prompts)]
    groups = list(sampler.generate(iter(limited), SamplingParams(completions_per_prompt=8)))
    completions = [(group.prompt, completion) for group in groups for completion in group.completions]
    reasons = {completion.finish_reason for _, completion in completions}
    assert reasons == {"eos", "length"}
    for prompt, completion in completions:
        ended = completion.token_ids[-1] in sampler.codec.eos_ids
        assert ended == (completion.finish_reason == "eos")
        assert len(completion) <= prompt.max_completion_tokens
        assert completion.truncated == (len(completion) == prompt.max_completion_tokens and not ended)
        assert not set(completion.token_ids[:-1]) & sampler.codec.eos_ids


def test_every_eos_token_ends_a_completion(tiny_model: Path, prompts: list[Prompt]) -> None:
    settings = ModelSettings(str(tiny_model), template="plain")
    codec = load_codec(settings)
    extra = codec.encode_completion("7")[0]
    codec.eos_ids = codec.eos_ids | {extra}
    sampler = Sampler(load_model(settings), codec, SamplerSettings(), nullcontext)
    groups = list(sampler.generate(iter(prompts), SamplingParams(completions_per_prompt=8)))
    last = {c.token_ids[-1] for g in groups for c in g.completions if c.finish_reason == "eos"}
    assert last == codec.eos_ids


def test_stop_strings_end_a_completion_across_tokens(sampler: Sampler, prompts: list[Prompt]) -> None:
    params = SamplingParams(completions_per_prompt=16)
    free = [c.text for g in sampler.generate(iter(prompts), params) for c in g.completions]
    stop = next(text[3:5] for text in free if len(text) > 8)
    stopped = [
        c for g in sampler.generate(iter(prompts), replace(params, stop=(stop,))) for c in g.completions
    ]
    assert any(c.finish_reason == "stop" for c in stopped)
    for completion in stopped:
        assert (completion.finish_reason == "stop") == completion.text.endswith(stop)
        assert stop not in completion.text[: -len(stop)]


def test_a_prompt_is_pulled_when_a_slot_is_free_that_no_sibling_waits_for(
    sampler: Sampler, prompts: list[Prompt]
) -> None:
    """Six slots and groups of four, of 3 tokens, then of 5, then of 24."""
    pulled: list[Prompt] = []

    def stream() -> Iterator[Prompt]:
        for prompt, limit in zip(prompts, [3, 5, 24, 24], strict=False):
            pulled.append(replace(prompt, max_completion_tokens=limit))
            yield pulled[-1]

    small = Sampler(sampler.model, deaf(sampler.codec), SamplerSettings(slots=6), nullcontext)
    generation = small.generate(stream(), SamplingParams(completions_per_prompt=4))
    ended = []
    counts = []
    for _ in range(8):
        ended += generation.step()
        counts.append(len(pulled))
    # Two of the second group begin beside the first. When this has ended, in the third tick, the other two
    # begin, and two of a third group. Two of the second end in the fifth tick, for two of the third, and two
    # in the eighth, after which a fourth group will begin.
    assert counts == [2, 2, 2, 3, 3, 3, 3, 3]
    assert [group.prompt for group in ended] == pulled[:2]
    generation.step()
    assert len(pulled) == 4


def test_a_sequence_that_ends_makes_room_before_the_others_end(
    sampler: Sampler, prompts: list[Prompt]
) -> None:
    short, long = replace(prompts[0], max_completion_tokens=2), prompts[1]
    small = Sampler(sampler.model, sampler.codec, SamplerSettings(slots=8), nullcontext)
    work = iter([long, short, short, short])
    generation = small.generate(work, SamplingParams(completions_per_prompt=4))
    order = [group.prompt for group in generation]
    assert order == [short, short, short, long]
    assert generation.tick <= 24


def test_none_pauses_admission_and_ends_sampling_when_nothing_is_in_flight(
    sampler: Sampler, prompts: list[Prompt]
) -> None:
    answers: Iterator[Prompt | None] = iter([prompts[0], None, prompts[1], None])
    generation = sampler.generate(answers, SamplingParams(completions_per_prompt=2))
    assert {group.prompt.example.id for group in generation} == {p.example.id for p in prompts[:2]}
    nothing: Iterator[Prompt | None] = iter([None, prompts[0]])
    assert list(sampler.generate(nothing, SamplingParams())) == []


def test_the_clock_counts_ticks_and_tokens(sampler: Sampler, prompts: list[Prompt]) -> None:
    generation = sampler.generate(iter(prompts), SamplingParams(completions_per_prompt=4))
    groups = list(generation)
    assert generation.drawn == sum(group.tokens for group in groups)
    assert generation.tick == max(len(c) for group in groups for c in group.completions)


@pytest.mark.parametrize("ticks", [1, 5, 11])
def test_what_is_handed_back_goes_on_as_if_undisturbed(
    sampler: Sampler, prompts: list[Prompt], ticks: int
) -> None:
    params = SamplingParams(completions_per_prompt=4, seed=3)
    expected = tokens_of(list(sampler.generate(iter(prompts), params)))
    first = sampler.generate(iter(prompts[:6]), params, policy_version=1)
    ended = [group for _ in range(ticks) for group in first.step()]
    in_flight = first.stop()
    assert [g.prompt for g in in_flight] == [p for p in prompts[:6] if p not in [g.prompt for g in ended]]
    assert first.step() == []
    assert first.in_flight == 0
    second = sampler.generate(iter([*in_flight, *prompts[6:]]), params, policy_version=2)
    groups = [*ended, *second]
    assert tokens_of(groups) == expected
    for group in in_flight:
        for completion in group.completions:
            early = min(ticks, len(completion))
            assert completion.policy_versions == [1] * early + [2] * (len(completion) - early)
            assert len(completion.sampler_logprobs) == len(completion.trainable) == len(completion)


def test_new_sequences_are_read_in_chunks_that_change_no_draw(
    sampler: Sampler, prompts: list[Prompt]
) -> None:
    params = SamplingParams(completions_per_prompt=2)
    expected = tokens_of(list(sampler.generate(iter(prompts), params)))
    for tokens in (1, 25):
        settings = SamplerSettings(slots=64, prefill_tokens=tokens)
        small = Sampler(sampler.model, sampler.codec, settings, nullcontext)
        assert tokens_of(list(small.generate(iter(prompts), params))) == expected


def test_weights_that_are_not_numbers_end_sampling_with_a_word_on_the_cause(
    tiny_model: Path, prompts: list[Prompt]
) -> None:
    settings = ModelSettings(str(tiny_model), template="plain")
    broken = Sampler(load_model(settings), load_codec(settings), SamplerSettings(slots=8), nullcontext)
    broken.model.model.layers[0].mlp.down_proj.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="logits are not numbers"):
        list(broken.generate(iter(prompts), SamplingParams(completions_per_prompt=2)))

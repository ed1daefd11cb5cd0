"""Models of every kind are decoded as their own forward pass has it, and each in the fastest way that is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from dapo.types import SamplingParams
from tests.unit.engine import tiny

WINDOW = {"sliding_window": 4}
NOT_LLAMA = "the sampler runs the model's own modules, which is slower: {} is not of Llama's family"
WINDOWED = "the sampler runs the model's own modules, which is slower: it attends to a sliding window"
STATE = "the sampler works batch by batch, which is slow: its cache is more than keys and values"

FAMILIES: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "qwen2": ({"model_type": "qwen2"}, "FusedDecoder", []),
    "qwen2, window in the upper layer": (
        {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1, **WINDOW},
        "SlottedDecoder",
        [WINDOWED],
    ),
    "llama": ({"model_type": "llama"}, "FusedDecoder", []),
    "llama, tied": ({"model_type": "llama", "tie_word_embeddings": True}, "FusedDecoder", []),
    "llama, one head of keys, wide heads": (
        {"model_type": "llama", "num_key_value_heads": 1, "head_dim": 12},
        "FusedDecoder",
        [],
    ),
    "llama, biases": ({"model_type": "llama", "attention_bias": True, "mlp_bias": True}, "FusedDecoder", []),
    "llama 3": ({"model_type": "llama", "rope_parameters": tiny.LLAMA3_ROPE}, "FusedDecoder", []),
    "qwen3": ({"model_type": "qwen3", "head_dim": 16}, "FusedDecoder", []),
    "mistral": ({"model_type": "mistral", "sliding_window": None}, "FusedDecoder", []),
    "mistral, window": ({"model_type": "mistral", **WINDOW}, "SlottedDecoder", [WINDOWED]),
    "gemma": (
        {"model_type": "gemma", "head_dim": 8},
        "SlottedDecoder",
        [NOT_LLAMA.format("GemmaForCausalLM")],
    ),
    "gemma2": (
        {"model_type": "gemma2", "attention": "eager", "head_dim": 8, **WINDOW},
        "SlottedDecoder",
        [NOT_LLAMA.format("Gemma2ForCausalLM")],
    ),
    "gemma3": (
        {
            "model_type": "gemma3_text",
            "head_dim": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            **WINDOW,
        },
        "SlottedDecoder",
        [NOT_LLAMA.format("Gemma3ForCausalLM")],
    ),
    "phi": ({"model_type": "phi"}, "SlottedDecoder", [NOT_LLAMA.format("PhiForCausalLM")]),
    "phi3": ({"model_type": "phi3"}, "SlottedDecoder", [NOT_LLAMA.format("Phi3ForCausalLM")]),
    "gpt2": ({"model_type": "gpt2"}, "SlottedDecoder", [NOT_LLAMA.format("GPT2LMHeadModel")]),
    "gpt neox": ({"model_type": "gpt_neox"}, "SlottedDecoder", [NOT_LLAMA.format("GPTNeoXForCausalLM")]),
    "mamba": ({"model_type": "mamba", "attention": "eager"}, "WaveDecoder", [STATE]),
    "lfm2": (
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
        "WaveDecoder",
        [STATE],
    ),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[PreTrainedModel, str, list[str]]:
    making, decoder, notes = FAMILIES[request.param]
    return tiny.model(**making), decoder, notes


def test_each_family_is_decoded_as_its_forward_pass_has_it_whatever_the_slots(
    family: tuple[PreTrainedModel, str, list[str]],
) -> None:
    """Groups that begin in parts, end at different times and outlive windows, of prompts of any length."""
    model, decoder, notes = family
    prompts, params = tiny.prompts([9, 3, 12, 6]), SamplingParams(completions_per_prompt=3, seed=1)
    wide = list(tiny.sampler(model, 12).generate(iter(prompts), params))
    narrow = tiny.sampler(model, 5)
    assert (type(narrow.decoder()).__name__, narrow.notes) == (decoder, notes)
    groups = list(narrow.generate(iter(prompts), params))
    assert tiny.tokens_of(groups) == tiny.tokens_of(wide)
    completions = [(group.prompt, completion) for group in groups for completion in group.completions]
    assert len(completions) == 12
    assert len({len(completion) for _, completion in completions}) >= 4
    for prompt, completion in completions:
        expected = tiny.plain_logprobs(model, prompt, completion)
        assert completion.sampler_logprobs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("name", ["llama", "gemma3", "mamba"])
def test_a_group_larger_than_the_slots_begins_in_parts_that_change_no_draw(name: str, slots: int) -> None:
    """Also where all that is in flight ends at once, and only what waits goes on."""
    model = tiny.model(**FAMILIES[name][0])
    prompts, params = tiny.prompts([4, 4]), SamplingParams(completions_per_prompt=4)
    expected = tiny.tokens_of(list(tiny.sampler(model, 8).generate(iter(prompts), params)))
    assert tiny.tokens_of(list(tiny.sampler(model, slots).generate(iter(prompts), params))) == expected


@pytest.mark.parametrize("name", ["qwen3", "phi3", "mamba", "lfm2"])
def test_new_sequences_read_a_few_at_a_time_change_no_draw(name: str) -> None:
    model = tiny.model(**FAMILIES[name][0])
    prompts, params = tiny.prompts([4, 5, 6, 7]), SamplingParams(completions_per_prompt=2)
    expected = tiny.tokens_of(list(tiny.sampler(model, 8).generate(iter(prompts), params)))
    few = tiny.sampler(model, 8, prefill_tokens=3)
    assert tiny.tokens_of(list(few.generate(iter(prompts), params))) == expected


@pytest.mark.parametrize("name", ["llama, biases", "qwen3", "gemma2", "gpt2", "mamba", "lfm2"])
def test_under_autocast_logprobs_are_near_those_of_the_forward_pass(name: str) -> None:
    def context() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    making, decoder, _ = FAMILIES[name]
    model, prompts = tiny.model(**making), tiny.prompts([12, 5, 8])
    sampler = tiny.sampler(model, 4, context)
    assert type(sampler.decoder()).__name__ == decoder
    groups = list(sampler.generate(iter(prompts), SamplingParams(completions_per_prompt=3)))
    errors = [
        abs(found - expected)
        for group in groups
        for completion in group.completions
        for found, expected in zip(
            completion.sampler_logprobs,
            tiny.plain_logprobs(model, group.prompt, completion, context),
            strict=True,
        )
    ]
    assert len(errors) > 30
    # bfloat16 has 8 bits: rounding moves logits of a few units by hundredths.
    assert sum(errors) / len(errors) < 0.05

"""A batch's log-probabilities are those of the model's own logits, for models of every kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dapo.learning.batches import collate
from dapo.learning.scoring import Scorer, linear_head
from dapo.types import Sample

VOCABULARY = 60
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
IDS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4}

LINEAR: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama, tied": {"model_type": "llama", "tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2},
    "a bias on the head (phi)": {"model_type": "phi"},
    "a sliding window (mistral)": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 4},
    "learned positions (gpt2)": {"model_type": "gpt2", **GPT2},
    "linear biases for positions (bloom)": {"model_type": "bloom", "n_layer": 2, "n_head": 4},
    "a state in place of attention (mamba)": {"model_type": "mamba", "state_size": 4},
    "experts (mixtral)": {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4},
}
OTHERS: dict[str, dict[str, Any]] = {
    "a cap (gemma2)": {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4},
    "a scale (cohere)": {"model_type": "cohere"},
    "a divisor (granite)": {"model_type": "granite", "logits_scaling": 4.0},
}


def make(settings: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(**{**SIZES, **IDS, **settings})
        model = AutoModelForCausalLM.from_config(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # zero at first, and then nobody would miss them
                torch.nn.init.normal_(parameter, std=0.3)
        return model


def samples() -> list[Sample]:
    """Of three prompts, whose completions lie among each other; one is a single token."""
    generator = torch.Generator().manual_seed(1)

    def ids(count: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (count,), generator=generator).tolist()

    prompts = [ids(3), ids(5), ids(1)]
    return [
        Sample(
            prompts[prompt],
            ids(completion),
            torch.ones(completion, dtype=torch.bool),
            torch.zeros(completion),
        )
        for prompt, completion in ((0, 9), (1, 6), (0, 1), (2, 12), (1, 3))
    ]


def alone(model: Any, sample: Sample, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of one sample, from the model's logits and without any padding."""
    ids = torch.tensor([[*sample.prompt_ids, *sample.completion_ids]])
    logits = model(ids).logits[0, len(sample.prompt_ids) - 1 : -1] / temperature
    distribution = torch.distributions.Categorical(logits=logits)
    return distribution.log_prob(torch.tensor(sample.completion_ids)), distribution.entropy()


EVERY_KIND = pytest.mark.parametrize("settings", [*LINEAR.values(), *OTHERS.values()], ids=[*LINEAR, *OTHERS])
BY_ROWS_ONLY = {"bloom", "mamba", "gemma2"}
"""Models of which a sequence has to be a row: without positions, with a state, or with capped attention."""


@EVERY_KIND
@pytest.mark.parametrize("share_prompts", [True, False])
def test_a_batch_gives_what_each_sample_gives_alone(settings: dict[str, Any], share_prompts: bool) -> None:
    model = make(settings)
    scorer = Scorer(model, 0.8, share_prompts)
    with torch.no_grad():
        found = scorer(collate(samples(), 0, scorer.layout), entropies=True)
        expected = [alone(model, sample, 0.8) for sample in samples()]
    for ours, parts in zip(found, zip(*expected, strict=True), strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, torch.cat(parts), atol=2e-6, rtol=0)


@EVERY_KIND
def test_prompts_are_shared_where_the_model_allows_it(settings: dict[str, Any]) -> None:
    scorer = Scorer(make(settings), 1.0)
    by_rows = settings["model_type"] in BY_ROWS_ONLY
    assert scorer.layout == ("padded" if by_rows else "shared")
    assert any("with a prompt of its own" in note for note in scorer.notes) == by_rows
    unshared = Scorer(make(settings), 1.0, share_prompts=False)
    assert unshared.layout == "padded"
    assert not any("with a prompt of its own" in note for note in unshared.notes)


SHARING = [name for name, settings in LINEAR.items() if settings["model_type"] not in BY_ROWS_ONLY]


@pytest.mark.parametrize("settings", [LINEAR[name] for name in SHARING], ids=SHARING)
def test_a_shared_prompt_gets_the_gradients_of_all_its_samples(settings: dict[str, Any]) -> None:
    """Half of the tokens only, each with a weight of its own, so that none stands in for another."""
    model = make(settings)
    gradients = []
    for share_prompts in (True, False):
        scorer = Scorer(model, 1.0, share_prompts)
        batch = collate(samples(), 0, scorer.layout)
        wanted = torch.arange(len(batch.targets)) % 2 == 0
        logprobs, _ = scorer(batch.only(wanted), entropies=False)
        (logprobs * torch.linspace(-1, 2, len(logprobs))).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        model.zero_grad()
    for ours, expected in zip(*gradients, strict=True):
        assert (ours - expected).norm() <= 1e-5 * expected.norm() + 1e-7


def test_sharing_leaves_the_model_s_own_attention_in_place() -> None:
    model = make(LINEAR["llama"])
    ids = torch.tensor([[3, 4, 5]])
    before = model(ids).logits
    scorer = Scorer(model, 1.0)
    scorer(collate(samples(), 0, "shared"), entropies=False)
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("settings", [LINEAR["llama"], OTHERS["a cap (gemma2)"]], ids=["linear", "capped"])
@pytest.mark.parametrize("share_prompts", [True, False])
def test_only_the_wanted_tokens_are_scored(settings: dict[str, Any], share_prompts: bool) -> None:
    scorer = Scorer(make(settings), 1.0, share_prompts)
    batch = collate(samples(), 0, scorer.layout)
    wanted = torch.arange(len(batch.targets)) % 3 == 0
    all_logprobs, _ = scorer(batch, entropies=False)
    logprobs, entropies = scorer(batch.only(wanted), entropies=False)
    assert entropies is None
    torch.testing.assert_close(logprobs, all_logprobs[wanted], atol=2e-6, rtol=0)


@pytest.mark.parametrize("settings", LINEAR.values(), ids=LINEAR.keys())
def test_models_whose_logits_are_a_product_are_known(settings: dict[str, Any]) -> None:
    model = make(settings)
    assert linear_head(model) is model.get_output_embeddings()
    assert not any("does more" in note for note in Scorer(model, 1.0).notes)


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS.keys())
def test_models_that_do_more_to_their_logits_are_known_and_say_so(settings: dict[str, Any]) -> None:
    model = make(settings)
    for parameter in model.parameters():  # a cap does nothing to the small logits of a model not yet trained
        parameter.data *= 0.1
    assert linear_head(model) is None
    assert f"{type(model).__name__} does more" in Scorer(model, 1.0).notes[0]


def test_a_head_that_is_more_than_its_weight_is_not_taken_for_linear() -> None:
    """An adapter that is zero at first: its weight gives the model's logits, but only until it is trained."""

    class Adapted(nn.Linear):
        pass

    model = make(LINEAR["llama"])
    adapted = Adapted(model.lm_head.in_features, VOCABULARY, bias=False)
    adapted.weight = model.lm_head.weight
    model.lm_head = adapted
    assert linear_head(model) is None


def test_the_probe_leaves_nothing_behind() -> None:
    model = make(LINEAR["llama"])
    ids = torch.tensor([[3, 4, 5]])
    before = model(ids).logits
    linear_head(model)
    assert torch.equal(model(ids).logits, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_tied_weights_get_the_gradient_of_both_their_uses() -> None:
    model = make(LINEAR["llama, tied"])
    batch = collate(samples(), 0, "padded")
    Scorer(model, 1.0)(batch, entropies=False)[0].sum().backward()
    found = model.lm_head.weight.grad.clone()
    model.zero_grad()
    torch.stack([alone(model, sample, 1.0)[0].sum() for sample in samples()]).sum().backward()
    torch.testing.assert_close(found, model.lm_head.weight.grad, atol=1e-4, rtol=1e-4)

"""A generation speaks with the weights that the model has when it begins."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from dapo.engine.fused import FusedDecoder
from dapo.engine.weights import FusedWeights
from dapo.types import SamplingParams
from tests.unit.engine import tiny

KINDS: dict[str, dict[str, Any]] = {
    "untied, with biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "norms of queries and keys": {"model_type": "qwen3"},
}


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def difference(found: Sequence[float], expected: Sequence[float]) -> float:
    """The mean one."""
    return float((torch.tensor(found) - torch.tensor(expected)).abs().mean())


@pytest.mark.parametrize(("context", "tolerance"), [(nullcontext, 1e-5), (autocast, 0.05)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_generation_speaks_with_the_weights_as_they_are_whichever_has_changed(
    kind: str, context: Any, tolerance: float
) -> None:
    """In place, as an optimizer changes them. Greedy, so that the same tokens are compared."""
    model, prompts = tiny.model(**KINDS[kind]), tiny.prompts([8])
    sampler = tiny.sampler(model, 1, context)
    assert isinstance(sampler.decoder(), FusedDecoder)
    list(sampler.generate(iter(prompts), SamplingParams()))
    for name, weight in model.named_parameters():
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(1.5 * kept.flip(0) + 0.5)
        (group,) = sampler.generate(iter(prompts), SamplingParams())
        (completion,) = group.completions
        expected = tiny.plain_logprobs(model, group.prompt, completion, context)
        assert difference(completion.sampler_logprobs, expected) < tolerance, name
        with torch.no_grad():
            weight.copy_(kept)
        old = tiny.plain_logprobs(model, group.prompt, completion, context)
        assert difference(completion.sampler_logprobs, expected) < difference(old, expected) / 3, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_taking_weights_over_again_writes_into_the_same_memory(dtype: torch.dtype) -> None:
    model = tiny.model("qwen3", attention_bias=True)
    weights = FusedWeights(model, dtype)
    weights.refresh()

    def places() -> list[int]:
        tensors = [value for layer in weights.layers for value in vars(layer).values() if value is not None]
        return [tensor.data_ptr() for tensor in tensors]

    before = places()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    weights.refresh()
    assert places() == before


def test_embedding_and_head_are_no_copies_in_float32() -> None:
    model = tiny.model(tie_word_embeddings=True)
    weights = FusedWeights(model, torch.float32)
    weights.refresh()
    assert weights.head.data_ptr() == weights.embedding.data_ptr() == model.lm_head.weight.data_ptr()

"""Tiny models of many kinds, made on the spot, and what a plain forward pass says of what they wrote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from dapo.engine.decoder import Context
from dapo.engine.sampler import Sampler, SamplerSettings
from dapo.scratch import character_tokenizer
from dapo.text import TextCodec
from dapo.types import Completion, Example, Group, Prompt

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def codec() -> TextCodec:
    return TextCodec(character_tokenizer("0123456789+-*=? \n"), "plain")


def model(
    model_type: str = "llama", attention: str = "sdpa", seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A model of two layers whose every part matters: as transformers makes them, biases are zero, norms
    one, and attention looks everywhere alike, so that much could go wrong unseen."""
    vocabulary = len(codec().tokenizer)
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = AutoConfig.for_model(model_type, vocab_size=vocabulary, **special, **{**SIZES, **changes})
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            noise = torch.randn(weight.shape, generator=source)
            if weight.dim() < 2 or name.endswith("A_log"):
                weight.add_(0.2 * noise)
            else:
                weight.copy_(noise * 1.2 / weight.shape[-1] ** 0.5)
    return made


def prompts(limits: Sequence[int], shortest: int = 2) -> list[Prompt]:
    """A prompt for each limit, each of another length."""
    return [
        Prompt(
            Example(f"example {place}", (), ""),
            tuple(3 + (5 * token + 7 * place) % 16 for token in range(shortest + 3 * place)),
            limit,
            number=place,
        )
        for place, limit in enumerate(limits)
    ]


def sampler(
    model: PreTrainedModel, slots: int, context: Context = nullcontext, prefill_tokens: int = 16384
) -> Sampler:
    return Sampler(model, codec(), SamplerSettings(slots=slots, prefill_tokens=prefill_tokens), context)


def plain_logprobs(
    model: PreTrainedModel, prompt: Prompt, completion: Completion, context: Context = nullcontext
) -> list[float]:
    """Log-probabilities of a completion's tokens by one forward pass over prompt and completion."""
    start = len(prompt.token_ids)
    ids = torch.tensor([[*prompt.token_ids, *completion.token_ids]])
    with torch.no_grad(), context():
        logits: Tensor = model(ids, use_cache=False).logits[0, start - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, ids[0, start:, None])[:, 0].tolist()


def tokens_of(groups: Sequence[Group]) -> dict[str, list[list[int]]]:
    return {group.prompt.example.id: [c.token_ids for c in group.completions] for group in groups}

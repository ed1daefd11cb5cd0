"""The model and the requests that the benchmarks of speed share. The weights are random, made on the spot.

Qwen2-type with the defaults of `Size`: 3.2 million parameters over a vocabulary of 98, a token for each
printable character of ASCII and three special ones. Its tokens are drawn almost uniformly, so an
end-of-sequence token within the vocabulary comes with a probability of about 1/98.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from pathlib import Path

import torch

from dapo.scratch import PAD, character_tokenizer
from dapo.text import PLAIN, TextCodec

ALPHABET = string.digits + string.ascii_letters + string.punctuation + " "
VOCABULARY = 98
FIRST_CHARACTER = 3
"""The ids below are special tokens."""


@dataclass(frozen=True)
class Size:
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    context: int = 2048

    @property
    def feed_forward(self) -> int:
        return 3 * self.hidden

    @property
    def parameters(self) -> int:
        """Number of weights; the embeddings are also the output layer."""
        h, kv = self.hidden, self.hidden // self.heads * self.key_value_heads
        layer = (2 * h * h + h) + 2 * (h * kv + kv) + 3 * h * self.feed_forward + 2 * h
        return VOCABULARY * h + self.layers * layer + h


def make_model(directory: Path, size: Size | None = None, seed: int = 0) -> Path:
    """Write config and weights. Returns `directory`."""
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    size = size or Size()
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    assert model.num_parameters() == size.parameters
    model.save_pretrained(directory)
    return directory


def make_codec(can_end: bool) -> TextCodec:
    """A tokenizer apart from the model: beside one of this type, transformers puts Qwen's own in its place.

    Unless it `can_end`, the end-of-sequence token has an id outside the model's vocabulary, so that it is
    never drawn and every completion runs to its limit.
    """
    tokenizer = character_tokenizer(ALPHABET)
    assert len(tokenizer) == VOCABULARY and tokenizer.convert_tokens_to_ids(PAD) == 0
    if not can_end:
        tokenizer.add_special_tokens({"eos_token": "<|never|>"})
    return TextCodec(tokenizer, PLAIN)


def make_prompts(count: int, tokens: int, seed: int = 0) -> list[list[int]]:
    """Different prompts of random characters, as ids."""
    source = random.Random(seed)
    return [[source.randrange(FIRST_CHARACTER, VOCABULARY) for _ in range(tokens)] for _ in range(count)]


def long_tail(
    count: int, median: float = 64, sigma: float = 0.9, limit: int = 512, seed: int = 0
) -> list[int]:
    """Log-normal lengths, at least 1 and at most `limit`."""
    source = random.Random(seed)
    drawn = (round(median * source.lognormvariate(0.0, sigma)) for _ in range(count))
    return [min(max(length, 1), limit) for length in drawn]

"""The randomness of sampling: one uniform number per token, decided by what the token is.

A token's number is a hash of (seed, purpose, prompt id, visit, completion index, position). No
generator is advanced, so neither the batch a sequence happens to share nor the order of prompts
changes what it draws.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from dapo.types import Purpose


def sequence_key(seed: int, purpose: Purpose, prompt_id: str, visit: int, completion_index: int) -> int:
    """A signed 64-bit key for one completion."""
    text = "\x1f".join((str(seed), purpose, prompt_id, str(visit), str(completion_index)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) with 52 random bits.

    Args:
        keys: int64 [B], from `sequence_key`.
        positions: int64 [B], index of the token within its completion.

    Returns:
        float64 [B]; float32 on devices without float64.

    The mixing function is SplitMix64 (Steele, Lea and Flood, 2014), in wrapping int64 arithmetic.
    """
    state = keys + (positions + 1) * _signed(0x9E3779B97F4A7C15)
    state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
    state = state ^ _shift_right(state, 31)
    # 52 bits: the largest result times a total stays below that total, also after rounding.
    if keys.device.type == "mps":
        return _shift_right(state, 41).to(torch.float32) * 2.0**-23
    return _shift_right(state, 12).to(torch.float64) * 2.0**-52


def _shift_right(values: Tensor, bits: int) -> Tensor:
    """Logical shift; torch's own is arithmetic."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant

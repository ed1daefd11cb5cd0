"""The randomness of sampling: one uniform number per token, decided by what the token is.

A token's number is a hash of (seed, purpose, prompt id, visit, completion index, position). No
generator is advanced, so neither the batch a sequence happens to share nor the order of prompts
changes what it draws.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from dapo.types import Purpose

Integers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def sequence_key(seed: int, purpose: Purpose, prompt_id: str, visit: int, completion_index: int) -> int:
    """A signed 64-bit key for one completion."""
    text = "\x1f".join((str(seed), purpose, prompt_id, str(visit), str(completion_index)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def uniforms(keys: Integers, positions: Integers, bits: int = 52) -> Floats:
    """Uniform numbers in [0, 1), multiples of 2^-bits, float64 [B].

    Args:
        keys: int64 [B], from `sequence_key`.
        positions: int64 [B], index of the token within its completion.
        bits: 52 at most: the largest result times a total then stays below that total, also after rounding.

    The mixing function is SplitMix64 (Steele, Lea and Flood, 2014), in wrapping 64-bit arithmetic.
    """
    state = keys.view(np.uint64) + (positions.astype(np.uint64) + np.uint64(1)) * _GAMMA
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    numbers: Floats = (state >> np.uint64(64 - bits)) * 2.0**-bits
    return numbers

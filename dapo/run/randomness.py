"""Every global source of randomness of a process, seeded, saved and restored.

Training itself draws from none of them. A reward or a model of somebody else may.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Start them from a seed: in a fresh process they stand at places of chance."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, Tensor]:
    """Where they stand, of torch (also on every CUDA device), Python and NumPy."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *words]),
        "python_gauss": torch.tensor([float("nan") if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*map(int, keys), int(position), int(has_gauss)]),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        state |= {f"cuda/{index}": value for index, value in enumerate(torch.cuda.get_rng_state_all())}
    return state


def restore_random(state: Mapping[str, Tensor]) -> None:
    """Put them where `random_state` found them. CUDA devices that are not there are left out."""
    torch.set_rng_state(state["torch"])
    version, *words = state["python"].tolist()
    gauss = float(state["python_gauss"])
    random.setstate((version, tuple(words), None if gauss != gauss else gauss))
    *keys, position, has_gauss = state["numpy"].tolist()
    cached = float(state["numpy_gauss"])
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda/{index}" in state:
            torch.cuda.set_rng_state(state[f"cuda/{index}"], index)

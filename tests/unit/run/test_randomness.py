from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import torch

from dapo.run.randomness import random_state, restore_random, seed_all


def draws() -> list[float]:
    """From every source, also the halves of pairs that are kept for the next call."""
    return [
        float(torch.rand(1)),
        float(torch.randn(1)),
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
    ]


def test_what_is_restored_draws_the_same() -> None:
    seed_all(1)
    draws()
    state = {name: tensor.clone() for name, tensor in random_state().items()}
    expected = [draws() for _ in range(3)]
    restore_random(state)
    assert [draws() for _ in range(3)] == expected


def test_seeds_differ_and_a_seed_repeats() -> None:
    found = []
    for seed in (0, 1, 2**40, 0):
        seed_all(seed)
        found.append(draws())
    assert found[0] == found[3]
    assert all(len({first, second}) == 2 for first, second in zip(found[0], found[1], strict=True))


PROGRAM = """
import hashlib
from dapo.run.randomness import random_state, seed_all
seed_all(3)
print([hashlib.sha256(value.numpy().tobytes()).hexdigest() for value in random_state().values()])
"""


def test_another_process_starts_from_the_same_place() -> None:
    command = [sys.executable, "-c", PROGRAM]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout

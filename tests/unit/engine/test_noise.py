"""The number a token is drawn with depends on what the token is, and on nothing else."""

from __future__ import annotations

import itertools

import numpy as np

from dapo.engine.noise import sequence_key, uniforms


def reference_splitmix64(state: int) -> int:
    """SplitMix64 in Python's unbounded integers."""
    mask = (1 << 64) - 1
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & mask
    return state ^ (state >> 31)


def test_uniforms_are_splitmix64() -> None:
    keys = [sequence_key(0, "train", "a", 0, 0), -1, 0, 2**63 - 1]
    positions = [0, 1, 77, 20_000]
    found = uniforms(np.array(keys), np.array(positions))
    for key, position, value in zip(keys, positions, found.tolist(), strict=True):
        state = (key + (position + 1) * 0x9E3779B97F4A7C15) % (1 << 64)
        assert value == (reference_splitmix64(state) >> 12) * 2.0**-52


def test_every_part_of_a_tokens_name_changes_its_number() -> None:
    names = list(itertools.product((0, 1), ("train", "eval"), ("1", "11"), (0, 1), (0, 1)))
    keys = {sequence_key(*name) for name in names}
    assert len(keys) == len(names)
    numbers = uniforms(np.tile(np.array(list(keys)), 3), np.arange(3).repeat(len(keys)))
    assert len(set(numbers.tolist())) == 3 * len(keys)


def test_parts_of_a_name_do_not_run_together() -> None:
    assert sequence_key(1, "train", "2", 3, 4) != sequence_key(1, "train", "23", 4, 4)
    assert sequence_key(1, "train", "2", 34, 0) != sequence_key(1, "train", "2", 3, 40)


def test_uniforms_look_uniform() -> None:
    keys = np.array([sequence_key(0, "train", str(index), 0, 0) for index in range(500)])
    numbers = uniforms(np.tile(keys, 200), np.arange(200).repeat(500))
    counts, _ = np.histogram(numbers, bins=50, range=(0, 1))
    expected = numbers.size / 50
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 85.4  # the 99.9 % point with 49 degrees of freedom
    assert float(numbers.min()) >= 0 and float(numbers.max()) < 1


def test_fewer_bits_are_the_first_ones() -> None:
    keys, positions = np.array([sequence_key(0, "train", str(i), 0, 0) for i in range(50)]), np.arange(50)
    fine, coarse = uniforms(keys, positions), uniforms(keys, positions, bits=23)
    assert (coarse == np.floor(fine * 2**23) / 2**23).all()

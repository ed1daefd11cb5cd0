"""What tests share: tiny models made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

from dapo.scratch import Shape, make_model
from dapo.tasks.arithmetic import ALPHABET

TINY = Shape(hidden=32, layers=2, heads=4, key_value_heads=2, feed_forward=64, context=256)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised model of two layers that reads and writes sums, character by character."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny", ALPHABET, TINY)

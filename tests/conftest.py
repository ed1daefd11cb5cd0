"""What tests share: tiny models made on the spot, and what a machine without a GPU leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dapo.scratch import Shape, make_model
from dapo.tasks.arithmetic import ALPHABET

TINY = Shape(hidden=32, layers=2, heads=4, key_value_heads=2, feed_forward=64, context=256)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised model of two layers that reads and writes sums, character by character."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny", ALPHABET, TINY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))

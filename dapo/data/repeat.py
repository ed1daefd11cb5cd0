"""Demonstrations without end, for the supervised warm-up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def endlessly(items: Sequence[Item], seed: int = 0) -> Iterator[Item]:
    """All of `items` in a shuffled order, then all of them in another one, and so on."""
    source = random.Random(seed)
    while True:
        yield from source.sample(items, len(items))

"""Decoders over slots: what is read together, and what one generation leaves behind for the next."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from dapo.engine.decoder import New
from dapo.engine.fused import FusedDecoder
from dapo.engine.slots import Read, chunks
from dapo.engine.weights import FusedWeights
from tests.unit.engine import tiny


def order_after_an_end(decoder: FusedDecoder) -> list[int]:
    """Short rows before a long one, and one of them ends: disorder, but too little to mend it."""
    decoder.open()
    new = [New([5], 6), New(list(range(3, 18)) * 16, 1)]
    decoder.step(torch.empty(0, dtype=torch.int64), new, 250)
    decoder.step(torch.full((7,), 4), [], 250)
    return decoder.drop([1]).tolist()


def test_the_order_of_rows_depends_on_nothing_from_before_a_generation() -> None:
    """Or a resumed run, which begins with a new decoder, would round otherwise than the undisturbed one."""
    decoder = FusedDecoder(FusedWeights(tiny.model(), torch.float32), 8, 1000)
    assert [order_after_an_end(decoder) for _ in range(3)] == 3 * [[0, 6, 2, 3, 4, 5]]


@given(st.lists(st.integers(1, 20), max_size=12), st.integers(1, 60))
def test_what_is_read_together_fits_the_budget_and_wastes_none_of_it(sizes: list[int], budget: int) -> None:
    reads = [Read(range(size), row) for row, size in enumerate(sizes)]
    found = chunks(reads, budget)
    assert [read for chunk in found for read in chunk] == reads

    def padded(chunk: list[Read]) -> int:
        return len(chunk) * max(len(read.ids) for read in chunk)

    assert all(padded(chunk) <= budget or len(chunk) == 1 for chunk in found)
    # Each begins with what would not have fitted into the one before.
    assert all(padded([*chunk, after[0]]) > budget for chunk, after in pairwise(found))

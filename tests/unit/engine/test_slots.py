"""Decoders over slots: what one generation leaves behind for the next."""

from __future__ import annotations

import torch

from dapo.engine.decoder import New
from dapo.engine.fused import FusedDecoder
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

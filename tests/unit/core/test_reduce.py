"""Reductions: their values, their denominators, and what happens when those are zero."""

from __future__ import annotations

import pytest
import torch

from dapo.core import reduce
from dapo.core.parts import parts
from dapo.core.reduce import (
    ConstantMean,
    Reduction,
    SequenceMean,
    SequenceSum,
    TokenMean,
    Totals,
    count_totals,
)
from dapo.core.segments import Segments

VALUES = torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0])
SEGMENTS = Segments.from_lengths([3, 0, 2])
ALL = Totals(tokens=5, sequences=2)

REDUCTIONS: list[Reduction] = [
    cls().resolved(10) if name == "constant" else cls() for name, cls in parts(reduce).items()
]


@pytest.mark.parametrize(
    ("reduction", "value"),
    [(TokenMean(), 7.2), (SequenceMean(), 8.5), (SequenceSum(), 18.0), (ConstantMean(10), 1.8)],
)
def test_values(reduction: Reduction, value: float) -> None:
    assert float(reduction(VALUES, SEGMENTS, ALL)) == pytest.approx(value)


def test_the_four_reductions_are_found_by_name() -> None:
    assert list(parts(reduce)) == ["token", "sequence", "sequence_sum", "constant"]


def test_totals_count_tokens_and_the_sequences_that_have_any() -> None:
    masks = [torch.tensor([True, False]), torch.tensor([False]), torch.empty(0, dtype=torch.bool)]
    assert count_totals(masks) == Totals(tokens=1, sequences=1)
    assert count_totals([]) == Totals(0, 0)


def test_uncounted_tokens_leave_the_denominator_only() -> None:
    counted = torch.tensor([True, False, False, True, True])
    totals = count_totals([counted[:3], counted[3:]])
    assert float(TokenMean()(VALUES, SEGMENTS, totals, counted)) == pytest.approx(36 / 3)
    assert float(SequenceMean()(VALUES, SEGMENTS, totals, counted)) == pytest.approx((6 / 1 + 30 / 2) / 2)


def test_a_sequence_without_a_counted_token_contributes_nothing_to_the_sequence_mean() -> None:
    counted = torch.tensor([False, False, False, True, True])
    values = VALUES.clone().requires_grad_()
    loss = SequenceMean()(values, SEGMENTS, count_totals([counted[:3], counted[3:]]), counted)
    loss.backward()
    assert float(loss.detach()) == 15.0
    assert values.grad is not None
    assert values.grad.tolist() == [0, 0, 0, 0.5, 0.5]


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=lambda r: r.name)
@pytest.mark.parametrize("count", [0, 3])
def test_zero_denominators_give_zero_and_no_gradient(reduction: Reduction, count: int) -> None:
    values = torch.full((count,), torch.inf).requires_grad_()
    segments = Segments.from_lengths([count])
    nothing = torch.zeros(count, dtype=torch.bool)
    loss = reduction(values, segments, Totals(0, 0), nothing)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert values.grad is not None
    assert values.grad.tolist() == [0.0] * count


def test_the_constant_has_to_be_known() -> None:
    with pytest.raises(ValueError, match="resolved"):
        ConstantMean()(VALUES, SEGMENTS, ALL)
    assert ConstantMean().resolved(512) == ConstantMean(512)
    assert ConstantMean(100).resolved(512) == ConstantMean(100)
    with pytest.raises(ValueError, match="tokens_per_sequence must be at least 1"):
        ConstantMean(0)

"""The order of rows: attention reads little padding, and putting rows in order pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dapo.engine.arrange import CALL, LOOK_EVERY, Arrangement, blocks, cost
from dapo.engine.decoder import Integers

LENGTHS = st.lists(st.integers(0, 20_000), min_size=1, max_size=60).map(np.array)


@given(LENGTHS)
def test_blocks_hold_every_row_once_with_all_of_its_columns(lengths: Integers) -> None:
    found = blocks(lengths)
    assert [start for start, _, _ in found] == [0, *(stop for _, stop, _ in found[:-1])]
    assert found[-1][1] == len(lengths)
    for start, stop, columns in found:
        assert start < stop
        assert lengths[start:stop].max() <= columns


@given(LENGTHS)
def test_blocks_never_cost_more_than_reading_all_rows_alike(lengths: Integers) -> None:
    assert cost(lengths) <= len(lengths) * lengths.max() + CALL


def test_rows_in_order_are_cut_where_it_pays() -> None:
    # 4 x 1000 columns and 60 x 100, instead of 64 x 1000.
    lengths = np.array([1000] * 4 + [100] * 60)
    assert blocks(lengths) == [(0, 4, 1000), (4, 64, 100)]
    assert cost(lengths) == 4000 + 6000 + 2 * CALL
    # With the long ones behind the others, nothing can be cut off.
    assert blocks(lengths[::-1]) == [(0, 64, 1000)]
    # The second row would save 900 tokens: less than a call.
    assert blocks(np.array([1000, 100])) == [(0, 2, 1000)]
    assert blocks(np.array([], dtype=np.int64)) == []


@st.composite
def rows_and_ended(draw: st.DrawFn) -> tuple[Integers, list[int]]:
    lengths = draw(LENGTHS)
    return lengths, draw(st.lists(st.integers(0, len(lengths) - 1), unique=True))


@given(rows_and_ended(), st.booleans())
def test_the_rows_that_stay_are_those_that_have_not_ended(
    rows: tuple[Integers, list[int]], disorder: bool
) -> None:
    lengths, ended = rows
    arrangement = Arrangement()
    for _ in range(1000 * disorder):
        arrangement.tick(np.array([1] * 60 + [2000]))
    order = arrangement.without(lengths, ended)
    assert sorted(order.tolist()) == sorted(set(range(len(lengths))) - set(ended))


@given(rows_and_ended())
def test_without_disorder_only_rows_from_the_end_move(rows: tuple[Integers, list[int]]) -> None:
    """They take the places of those that have ended, and there are no more of them than that."""
    lengths, ended = rows
    order = Arrangement().without(lengths, ended)
    moved = [(place, int(row)) for place, row in enumerate(order) if row != place]
    assert all(place in ended and row >= len(order) for place, row in moved)
    last = set(range(len(lengths) - len(ended), len(lengths)))
    assert Arrangement().without(lengths, sorted(last)).tolist() == list(range(len(order)))


def test_rows_in_order_are_never_moved_whatever_time_passes() -> None:
    arrangement = Arrangement()
    lengths = np.array([2000] * 4 + [10] * 60)
    for _ in range(10_000):
        arrangement.tick(lengths)
    assert arrangement.without(lengths, []).tolist() == list(range(64))


def test_disorder_is_mended_when_it_has_cost_what_mending_costs() -> None:
    """Attention reads 61 rows of 2000 columns. In order it would read 1 x 2000 and 60 x 1, in two calls:
    each tick wastes 122000 + 1000 - (2060 + 2000) = 118940. To move what is held reads and writes
    2 x 2060 tokens. The order is looked at in every eighth tick."""
    lengths = np.array([1] * 60 + [2000])
    arrangement = Arrangement()
    for _ in range(LOOK_EVERY):
        assert arrangement.without(lengths, []).tolist() == list(range(61))
        arrangement.tick(lengths)
    assert arrangement.without(lengths, []).tolist() == [60, *range(60)]
    # The debt is paid: the next tick begins from nothing.
    assert arrangement.without(lengths, []).tolist() == list(range(61))


@given(st.lists(st.lists(st.integers(1, 5000), min_size=1, max_size=40).map(np.array), max_size=30))
def test_what_disorder_costs_is_bounded_by_what_mending_costs(ticks: list[Integers]) -> None:
    """Asked at every look, all disorder together costs no more than the moves do, what came since apart."""
    arrangement = Arrangement()
    wasted = 0
    for lengths in ticks:
        before = LOOK_EVERY * (cost(lengths) - cost(np.sort(lengths)[::-1]))
        for _ in range(LOOK_EVERY):
            arrangement.tick(lengths)
        order = arrangement.without(lengths, [])
        if wasted + max(0, before) > 2 * lengths.sum():
            assert lengths[order].tolist() == sorted(lengths.tolist(), reverse=True)
            wasted = 0
        else:
            assert order.tolist() == list(range(len(lengths)))
            wasted += max(0, before)
        assert wasted <= 2 * lengths.sum()


@pytest.mark.parametrize("ended", [[], [0], [3, 5]])
def test_mending_puts_the_longest_first_and_leaves_equals_in_order(ended: list[int]) -> None:
    lengths = np.array([5, 900, 5, 7, 900, 7, 5])
    arrangement = Arrangement()
    for _ in range(100):
        arrangement.tick(np.array([1] * 60 + [2000]))
    expected = [row for row in (1, 4, 3, 5, 0, 2, 6) if row not in ended]
    assert arrangement.without(lengths, ended).tolist() == expected

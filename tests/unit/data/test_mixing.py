from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dapo.data.mixing import MixSettings, Turns
from dapo.errors import UserError

NAMES = "abcdefgh"


def weighted(*weights: float) -> dict[str, float]:
    return dict(zip(NAMES, weights, strict=False))


def turns(weights: dict[str, float], settings: MixSettings, count: int) -> list[int]:
    taken = [0] * len(weights)
    result = []
    for _ in range(count):
        result.append(Turns(weights, settings).next(taken))
        taken[result[-1]] += 1
    return result


@example([1, 1, 1, 40, 40, 3, 40], 1)  # Taking whoever is furthest behind lets one lag by 1.2 turns here.
@given(shares=st.lists(st.integers(1, 40), min_size=1, max_size=8), scale=st.sampled_from([1, 0.1, 0.001]))
def test_every_share_is_exact_to_within_one_turn_at_all_times(shares: list[int], scale: float) -> None:
    order = turns(weighted(*(float(f"{share * scale:.6g}") for share in shares)), MixSettings(), 100)
    for place, share in enumerate(shares):
        for turn, had in enumerate(accumulate(int(chosen == place) for chosen in order), start=1):
            assert abs(had * sum(shares) - share * turn) < sum(shares)


def test_sources_of_one_weight_come_in_turn() -> None:
    assert turns(weighted(2, 2, 2), MixSettings(), 6) == [0, 1, 2, 0, 1, 2]


def test_a_pattern_repeats() -> None:
    assert turns(weighted(1, 1), MixSettings(("b", "b", "a")), 7) == [1, 1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("weights", "pattern", "message"),
    [
        ({"short": 1, "long": 1}, ("short", "lang"), "no source 'lang'; the nearest name is 'long'"),
        ({"short": 1, "long": 1}, ("short", "x"), "no source 'x'; there are short, long"),
        ({"short": 1, "long": 1}, ("short",), "the source 'long' never comes; add it, or remove the source"),
        ({"short": 1, "long": 2}, ("short", "long"), "source 'long': a weight of 2 has no effect beside"),
    ],
)
def test_patterns_that_do_not_fit_the_sources(weights: Any, pattern: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MixSettings(pattern).check(weights)


def test_a_block_holds_a_prompt_at_least() -> None:
    with pytest.raises(ValueError, match="block must be at least 1, not 0"):
        MixSettings(block=0)


def test_weights_are_taken_as_they_are_written() -> None:
    """In floating point a share of 0.3 is above three of 0.1, and would come due later than them."""
    assert 0.1 + 0.1 + 0.1 != 0.3
    assert turns(weighted(0.3, 0.1), MixSettings(), 40) == turns(weighted(3, 1), MixSettings(), 40)

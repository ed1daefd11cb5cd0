from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dapo.data.order import longest_first
from dapo.types import Example, Prompt


def ordered(expected: list[float | None]) -> list[int]:
    prompts = [Prompt(Example(str(place), [], ""), [place], 8) for place in range(len(expected))]
    return [prompt.token_ids[0] for prompt in longest_first(prompts, lambda p: expected[p.token_ids[0]])]


def test_the_longest_come_first_and_equal_ones_in_order() -> None:
    assert ordered([3, 9, 3, 10, 9]) == [3, 1, 4, 0, 2]


def test_prompts_of_unknown_length_stand_where_the_mean_does() -> None:
    assert ordered([None, 10, 2, None, 5]) == [1, 0, 3, 4, 2]  # the mean of 10, 2 and 5 is 5.67


def test_nothing_known_and_nothing_given() -> None:
    assert ordered([None, None, None]) == [0, 1, 2]
    assert ordered([]) == []


@given(expected=st.lists(st.none() | st.floats(0, 1e5), max_size=20))
def test_every_prompt_comes_once_and_the_known_ones_descend(expected: list[float | None]) -> None:
    order = ordered(expected)
    assert sorted(order) == list(range(len(expected)))
    known = [count for count in (expected[place] for place in order) if count is not None]
    assert known == sorted(known, reverse=True)

from __future__ import annotations

import pytest

from dapo.verify.reflections import EASY, Trace, Variant, bounds, triple

BOTH: tuple[Variant, ...] = ("paper", "code")


def verified(times: int, closed: bool = True) -> Trace:
    """Thoughts that came back to the answer so often, and end with the last time."""
    return Trace(times + 1, ends_there=True, closed=closed)


@pytest.mark.parametrize("variant", BOTH)
def test_the_cases_worked_out_in_the_specification(variant: Variant) -> None:
    assert triple(verified(6), True, (2, 10), variant) == (1, 0.5, 1)  # 1 - (6 - 2) / (10 - 2)
    assert triple(verified(3), False, (2, 10), variant) == (1, 0.875, -1)  # 1 - (3 - 2) / (10 - 2)
    assert triple(verified(12), True, (2, 10), variant) == (1, 0, 1)
    assert triple(Trace(0, False, True), True, (2, 10), variant) == (-1, -1, -1)


@pytest.mark.parametrize("variant", BOTH)
@pytest.mark.parametrize("right", [True, False])
def test_the_answer_is_never_found(right: bool, variant: Variant) -> None:
    for closed in (True, False):
        assert triple(Trace(0, False, closed), right, EASY, variant) == (-1, -1, -1)


@pytest.mark.parametrize("variant", BOTH)
def test_the_thoughts_end_with_the_first_answer(variant: Variant) -> None:
    assert triple(Trace(1, True, True), True, EASY, variant) == (1, 1, 1)
    assert triple(Trace(1, True, True), False, EASY, variant) == (1, -1, -1)
    assert triple(Trace(1, True, False), True, EASY, variant) == (1, -1, -1)
    assert triple(Trace(1, True, False), False, EASY, variant) == (1, -1, -1)


def test_the_thoughts_go_on_without_coming_back_to_the_answer() -> None:
    """The paper counts no verification, and equation 2 gives 1. The code counts one where the answer is
    right, and where it is wrong the second score is the last."""
    trace = Trace(1, False, True)
    assert triple(trace, True, EASY, "paper") == (1, 1, 1)
    assert triple(trace, False, EASY, "paper") == (1, 1, -1)
    assert triple(trace, True, EASY, "code") == (1, 1, 1)
    assert triple(trace, False, EASY, "code") == (1, -1, -1)


def test_what_follows_the_last_mark_counts_in_the_code() -> None:
    goes_on = Trace(6, False, True)
    assert [goes_on.verifications(True, variant) for variant in BOTH] == [5, 6]
    assert [goes_on.verifications(False, variant) for variant in BOTH] == [5, 5]
    assert triple(goes_on, True, EASY, "paper") == (1, 0.625, 1)  # 1 - (5 - 2) / 8
    assert triple(goes_on, True, EASY, "code") == (1, 0.5, 1)  # 1 - (6 - 2) / 8


@pytest.mark.parametrize(
    ("count", "measure"), [(1, 1), (2, 1), (3, 0.875), (9, 0.125), (10, 0), (11, 0), (500, 0)]
)
def test_equation_2(count: int, measure: float) -> None:
    for variant in BOTH:
        assert triple(verified(count), True, (2, 10), variant)[1] == measure


def test_equal_bounds() -> None:
    """The paper's equation falls from 1 to 0 at once; the code gives 1 to all."""
    assert [triple(verified(5), True, (4, 4), variant)[1] for variant in BOTH] == [0, 1]
    assert [triple(verified(4), True, (4, 4), variant)[1] for variant in BOTH] == [1, 1]


def test_two_verifications_are_never_too_many_in_the_code() -> None:
    assert [triple(verified(2), True, (0, 2), variant)[1] for variant in BOTH] == [0, 1]
    assert [triple(verified(2), True, (1, 3), variant)[1] for variant in BOTH] == [0.5, 0.5]


def test_bounds_of_prompts_that_are_often_solved() -> None:
    traces = [(verified(20), True), (verified(5), False)]
    for variant in BOTH:
        assert bounds(traces, 0.5, variant) == (2, 10)
        assert bounds(traces, 1.0, variant) == (2, 10)


def test_bounds_of_prompts_that_are_seldom_solved() -> None:
    traces = [(verified(4), True), (verified(7), True), (verified(1), False), (verified(30), False)]
    assert bounds(traces, 0.49, "paper") == (1, 30)
    assert bounds(traces, 0.49, "code") == (4, 7)


def test_bounds_without_anything_to_go_by() -> None:
    assert bounds([], 0.0, "paper") == (2, 10)
    assert bounds([(verified(7), False)], 0.0, "code") == (2, 10)
    assert bounds([(verified(7), False)], 0.0, "paper") == (7, 7)

"""Repeating groups to fill a step, with the cases of Yuan3.0's own code and paper."""

from __future__ import annotations

from collections import Counter

import pytest

from dapo.sampling.copies import copies_to, next_multiple
from dapo.sampling.settings import CopySettings
from dapo.types import Completion, Example, GradedGroup, Prompt, Rollout, Score


def groups(*rates: float) -> list[GradedGroup]:
    completion = Completion([1], [0.0], [0], [True], "eos", "")
    return [
        GradedGroup(
            Prompt(Example(str(index), (), ""), (0,), 1),
            [Rollout(completion, Score(float(place < 8 * rate)), 0.0) for place in range(8)],
        )
        for index, rate in enumerate(rates)
    ]


RATES = (0.5, 0.125, 0.875, 0.25, 0.5)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("easiest_first", [2, 0, 4, 3, 1]),
        ("hardest_first", [1, 3, 0, 4, 2]),
        ("center_first", [0, 3, 4, 1, 2]),
    ],
)
def test_copies_go_round_in_the_order_asked_for(order: str, expected: list[int]) -> None:
    settings = CopySettings(order=order, max_copies=3)  # type: ignore[arg-type]
    assert copies_to(groups(*RATES), 10, settings) == expected
    assert copies_to(groups(*RATES), 12, settings) == [*expected, *expected[:2]]


@pytest.mark.parametrize(("kept", "copies"), [(130, 62), (128, 0), (512, 0), (10, 54), (1, 63)])
def test_the_missing_groups_of_a_mini_batch_of_64(kept: int, copies: int) -> None:
    """The originals' cases; they copy without a cap, up to 6 copies of each of 10 groups."""
    chosen = copies_to(groups(*[0.5] * kept), next_multiple(kept, 64), CopySettings(max_copies=64))
    assert len(chosen) == copies
    counts = Counter(chosen)
    assert not counts or max(counts.values()) - min(counts[i] for i in range(kept)) <= 1


def test_no_group_is_trained_more_often_than_the_cap() -> None:
    chosen = copies_to(groups(0.5, 0.25), 64, CopySettings(max_copies=3))
    assert Counter(chosen) == {0: 2, 1: 2}
    assert copies_to(groups(0.5), 64, CopySettings(max_copies=1)) == []

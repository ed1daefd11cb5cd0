from __future__ import annotations

import pytest

from dapo.data.prepare.census import CONFLICTING, KEPT, REPEATED, UNUSABLE, Census, ConflictPolicy


def taken(*rows: tuple[str, str] | None) -> Census:
    census = Census()
    for row in rows:
        if row is None:
            census.add_unusable()
        else:
            census.add(row[0].encode(), row[1])
    return census


def test_the_first_row_of_a_prompt_is_kept() -> None:
    census = taken(("a", "1"), ("b", "2"), None, ("a", "1"), ("a", " 1 "), ("a", "\uff11"))
    fates, conflicts = census.decide("drop")
    assert list(fates) == [KEPT, KEPT, UNUSABLE, REPEATED, REPEATED, REPEATED]
    assert (conflicts, census.prompts, census.rows) == ([], 2, 6)


@pytest.mark.parametrize(
    ("policy", "fates"),
    [
        ("drop", [CONFLICTING, CONFLICTING, CONFLICTING, KEPT]),
        ("first", [KEPT, CONFLICTING, CONFLICTING, KEPT]),
        ("majority", [CONFLICTING, KEPT, REPEATED, KEPT]),
    ],
)
def test_several_answers(policy: ConflictPolicy, fates: list[int]) -> None:
    found, conflicts = taken(("a", "1"), ("a", "2"), ("a", "2"), ("b", "1")).decide(policy)
    assert list(found) == fates
    assert [conflict.groups for conflict in conflicts] == [[[0], [1, 2]]]


def test_without_a_majority_a_prompt_is_dropped() -> None:
    found, conflicts = taken(("a", "1"), ("a", "2"), ("a", "3"), ("a", "3"), ("a", "2")).decide("majority")
    assert list(found) == [CONFLICTING] * 5
    assert conflicts[0].groups == [[0], [1, 4], [2, 3]]
    assert conflicts[0].kept is None

from __future__ import annotations

import time
from typing import Any

import pytest

from dapo.verify.json_text import Comparison, canonical, last_json, parse
from dapo.verify.matching import most_pairs


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('First {"a": 1}, then {"a": 2}.', {"a": 2}),
        ('```json\n{"a": [1, {"b": "}"}]}\n```', {"a": [1, {"b": "}"}]}),
        ('{"a": "say \\"hi\\" {"}', {"a": 'say "hi" {'}),
        ("the set {x | x > 0 and the list [1, 2]", [1, 2]),
        ('an open [ bracket, then {"a": 1}', {"a": 1}),
        ('a " quote and {"a": 1}', {"a": 1}),
        ('{"a": 1} or {b: 2}', {"a": 1}),
        ('{"a": 1} and [1, 2', {"a": 1}),
        ('{ oops " {\n{"a": 1}', {"a": 1}),
        ("[]", []),
        ("{}", {}),
        ('{"a": NaN}', None),
        ('{"a": -Infinity}', None),
        ('{"a": 1, "a": 2}', None),
        ('{"b": {"a": 1, "a": 1}}', None),
        ("42", None),
        ('"a"', None),
        ("{'a': 1}", None),
        ("", None),
        ("]}", None),
        ("[" * 101 + "]" * 101, None),
        ('{"a": ' + "9" * 5000 + "}", None),
    ],
)
def test_the_last_json_in_a_text(text: str, value: Any) -> None:
    assert last_json(text) == value


def test_a_hundred_levels_are_allowed() -> None:
    assert last_json("[" * 100 + "]" * 100) is not None
    assert parse('["' + "[" * 500 + '"]') == ["[" * 500]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        '{"' * 50_000,
        '[{"a":' * 20_000,
        "{}" * 50_000,
        "{]" * 50_000,
        "\\" * 100_000,
        '["' + "\\" * 99_999,
        "[}" * 50_000,
        "{[" * 50_000 + "}" * 50_000,
        "\0" * 100_000,
    ],
)
def test_strange_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    last_json(text)
    assert time.process_time() - began < 2


EXACT, LOOSE = Comparison(), Comparison(ordered=False)
NEAR, NEAR_LOOSE = Comparison(tolerance=0.01), Comparison(tolerance=0.01, ordered=False)


@pytest.mark.parametrize(
    ("comparison", "found", "gold", "equal"),
    [
        (EXACT, {"a": 1, "b": [2, None]}, {"b": [2.0, None], "a": 1}, True),
        (EXACT, {"a": 1}, {"a": 1, "b": None}, False),
        (EXACT, {"a": 1, "b": None}, {"a": 1}, False),
        (EXACT, [1, 2], [2, 1], False),
        (EXACT, [1, 2], [1, 2, 3], False),
        (EXACT, True, 1, False),
        (EXACT, 0, False, False),
        (EXACT, "1", 1, False),
        (EXACT, None, 0, False),
        (EXACT, [], {}, False),
        (EXACT, 1.001, 1, False),
        (NEAR, 1.001, 1, True),
        (NEAR, 1.02, 1, False),
        (NEAR, 10**400, 1.0, False),
        (LOOSE, [1, [2, 3], 1], [[3, 2], 1, 1], False),
        (LOOSE, [1, 2, 1], [1, 1, 2], True),
        (LOOSE, [1, 2, 2], [1, 1, 2], False),
        (LOOSE, [True], [1], False),
        # 1.005 is near both golds, 0.995 near the first alone.
        (NEAR_LOOSE, [1.005, 0.995], [1.0, 1.012], True),
        (NEAR_LOOSE, [1.005, 0.9], [1.0, 1.012], False),
        (NEAR_LOOSE, list(range(1, 202)), list(range(1, 202)), False),
    ],
)
def test_what_is_equal(comparison: Comparison, found: Any, gold: Any, equal: bool) -> None:
    assert comparison.equal(found, gold) is equal


@pytest.mark.parametrize(
    ("comparison", "found", "gold", "credit"),
    [
        (EXACT, {"a": 1, "b": 2}, {"a": 1, "b": 3}, 1 / 2),
        # Three keys in all, one right.
        (EXACT, {"a": 1, "c": 2}, {"a": 1, "b": 2}, 1 / 3),
        # The second entry is half right, the fourth too many: (1 + 1/2) / 3
        (EXACT, [1, {"a": 1, "b": 2}, 3], [1, {"a": 1, "b": 1}], 1.5 / 3),
        (EXACT, [2, 1], [1, 2], 0.0),
        (LOOSE, [2, 1], [1, 2, 3], 2 / 3),
        (EXACT, [], [], 1.0),
        (EXACT, {}, {"a": 1}, 0.0),
        (EXACT, {"a": []}, {"a": {}}, 0.0),
    ],
)
def test_how_nearly_equal(comparison: Comparison, found: Any, gold: Any, credit: float) -> None:
    assert comparison.credit(found, gold) == pytest.approx(credit)


def test_canonical_texts() -> None:
    assert canonical({"b": 1.0, "a": [True, 2.5, None]}) == '{"a": [true, 2.5, null], "b": 1}'
    assert canonical(1) != canonical(True)


@pytest.mark.parametrize(
    ("fits", "pairs"),
    [
        ([], 0),
        ([[True, True], [True, True]], 2),
        # The first row has to make room for the second.
        ([[True, True], [True, False]], 2),
        ([[True, False], [True, False]], 1),
        ([[True, True, False], [True, False, False], [False, True, False]], 2),
        ([[False]], 0),
    ],
)
def test_most_pairs(fits: list[list[bool]], pairs: int) -> None:
    assert most_pairs(fits) == pairs

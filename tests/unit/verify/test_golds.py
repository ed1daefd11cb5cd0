from __future__ import annotations

from typing import Any

import pytest

from dapo.types import Example
from dapo.verify.golds import column, golds


def example(answer: str = "", **columns: Any) -> Example:
    return Example("x", [], answer, columns)


def test_columns_inside_others() -> None:
    row = example(a=1, b={"c": 2}, extra_info={"d": 3, "e": {"f": 4}})
    assert [column(row, name) for name in ("a", "b.c", "d", "e.f", "extra_info.d", "g", "a.b")] == [
        *(1, 2, 3, 4, 3),
        *(None, None),
    ]


@pytest.mark.parametrize(
    ("row", "name", "found"),
    [
        (example("x"), None, ["x"]),
        (example('["x", "y"]'), None, ["x", "y"]),
        (example("[sic] x"), None, ["[sic] x"]),
        (example("[" * 100_000), None, ["[" * 100_000]),
        (example("x", answers=["y", "z"]), None, ["y", "z"]),
        (example("x", answers={"text": ["y"], "answer_start": [3]}), None, ["y"]),
        (example("x", answers=[]), None, [""]),
        (example("x", answers=[None, 7]), None, ["", "7"]),
        (example("x", extra_info={"answer": '["y"]'}), "answer", ["y"]),
        (example("x", year=1914), "year", ["1914"]),
    ],
)
def test_golds(row: Example, name: str | None, found: list[str]) -> None:
    assert golds(row, name) == found


def test_a_column_named_must_be_there_and_hold_texts() -> None:
    with pytest.raises(ValueError, match="no column 'gold'; the columns are golds"):
        golds(example("x", golds=["y"]), "gold")
    with pytest.raises(ValueError, match="are a dict; give a text, or a list"):
        golds(example("x", gold={"y": 1}), "gold")

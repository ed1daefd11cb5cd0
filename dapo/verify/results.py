"""Whether two query results are the same table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dapo.verify.queries import Cell, Result, Row

_MAX_COLUMNS = 50
_MAX_TRIALS = 1000
"""How many partial orders of columns are tried before two results pass for different."""
_ZERO = 1e-12

_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|[()]|\w+", re.DOTALL
)


def is_ordered(query: str) -> bool:
    """Whether a query, not one inside it, has an ORDER BY, so that the order of its rows means something."""
    depth, before = 0, ""
    for token in _TOKEN.findall(query):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and (before, token.lower()) == ("order", "by"):
            return True
        before = token.lower()
    return False


@dataclass(frozen=True)
class Comparison:
    """When two results count as the same."""

    rows: Literal["multiset", "set"] = "multiset"
    """Whether it matters how often a row is there."""
    any_column_order: bool = False
    tolerance: float = 1e-6
    """Relative difference up to which two numbers, not both integers, are equal."""

    def same(self, found: Result, gold: Result, ordered: bool = False) -> bool:
        """Whether `found` holds what `gold` does, in the same order if `ordered`.

        NULL equals NULL alone, 1 equals 1.0, and no number equals a text.
        """
        if found.columns != gold.columns:
            return False
        ours, theirs = found.rows, gold.rows
        if self.rows == "set":
            ours, theirs, ordered = list(set(ours)), list(set(theirs)), False
        if len(ours) != len(theirs):
            return False
        orders = _column_orders(ours, theirs, ordered) if self.any_column_order else [range(found.columns)]
        return any(self._equal([_chosen(row, order) for row in ours], theirs, ordered) for order in orders)

    def _equal(self, ours: list[Row], theirs: list[Row], ordered: bool) -> bool:
        if not ordered:
            if Counter(ours) == Counter(theirs):
                return True
            ours, theirs = sorted(ours, key=_sort_key), sorted(theirs, key=_sort_key)
        return all(
            self._close(one, other)
            for row, other_row in zip(ours, theirs, strict=True)
            for one, other in zip(row, other_row, strict=True)
        )

    def _close(self, one: Cell, other: Cell) -> bool:
        if one == other:
            return True
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
            return False
        if isinstance(one, int) and isinstance(other, int):
            return False
        return math.isclose(one, other, rel_tol=self.tolerance, abs_tol=_ZERO)


def _column_orders(ours: list[Row], theirs: list[Row], ordered: bool) -> Iterator[Sequence[int]]:
    """Orders of our columns in which the rows may be theirs: the first is the one they have.

    Columns are added one by one, each time holding the rows so far against each other, so that a column is
    never tried where its values stand in other rows.
    """
    width = len(theirs[0]) if theirs else 0
    yield range(width)
    if not 1 < width <= _MAX_COLUMNS:
        return
    ours, theirs = [_rounded(row) for row in ours], [_rounded(row) for row in theirs]
    trials = 0
    partial: list[list[int]] = [[]]
    while partial and trials < _MAX_TRIALS:
        order = partial.pop()
        if len(order) == width:
            yield order
            continue
        wanted = [row[: len(order) + 1] for row in theirs]
        for column in reversed(range(width)):
            if column in order:
                continue
            trials += 1
            projected = [_chosen(row, [*order, column]) for row in ours]
            if projected == wanted if ordered else Counter(projected) == Counter(wanted):
                partial.append([*order, column])


def _chosen(row: Row, order: Sequence[int]) -> Row:
    return tuple(row[column] for column in order)


def _rounded(row: Row) -> Row:
    return tuple(_round(cell) if isinstance(cell, float) else cell for cell in row)


def _round(number: float) -> float:
    return float(f"{number:.6g}")


def _sort_key(row: Row) -> tuple[object, ...]:
    """Texts before numbers, and numbers rounded before whole, so that rows whose numbers differ by a hair
    come to stand at the same place."""
    numbers = [float(cell) for cell in row if isinstance(cell, (int, float))]
    others = tuple(_kind(cell) for cell in row)
    return (others, tuple(map(_round, numbers)), tuple(numbers))


def _kind(cell: Cell) -> tuple[int, str | bytes]:
    if isinstance(cell, str):
        return (2, cell)
    if isinstance(cell, bytes):
        return (3, cell)
    return (0, "") if cell is None else (1, "")

"""Pairing what was found with what is wanted, one to one."""

from __future__ import annotations

from collections.abc import Sequence


def most_pairs(fits: Sequence[Sequence[bool]]) -> int:
    """The largest number of pairs (row, column) with `fits[row][column]`, each row and column used once.

    Kuhn's algorithm: rows are paired one after the other, moving earlier ones to other columns where that
    makes room. Takes time in rows times entries, so keep both below a few hundred.
    """
    row_of: dict[int, int] = {}

    def placed(row: int, tried: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if not fit or column in tried:
                continue
            tried.add(column)
            if column not in row_of or placed(row_of[column], tried):
                row_of[column] = row
                return True
        return False

    return sum(placed(row, set()) for row in range(len(fits)))

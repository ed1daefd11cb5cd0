"""The first reading of all rows: which prompts repeat, which have several answers, which rows are to be kept.

Only hashes are kept of the texts, so that millions of rows take no more than some hundred bytes each.
"""

from __future__ import annotations

import unicodedata
from array import array
from dataclasses import dataclass, field
from typing import Literal

ConflictPolicy = Literal["drop", "majority", "first"]
"""What becomes of a prompt with several answers: dropped, or kept with the most frequent or the first one."""

UNUSABLE, KEPT, REPEATED, CONFLICTING = range(4)
"""What becomes of a row."""


@dataclass
class Conflict:
    """A prompt with several answers."""

    groups: list[list[int]] = field(default_factory=list)
    """The numbers of its rows, those of one answer together; the answer met first comes first."""
    kept: int | None = None
    """Number of the row that is kept, if any."""


class Census:
    """Takes the rows one by one and decides about them together."""

    def __init__(self) -> None:
        self._slots: dict[bytes, int] = {}
        self._slot_of = array("q")
        """Which prompt each row holds; -1 for an unusable one."""
        self._first = array("q")
        """The first row of each prompt."""
        self._answers: dict[int, list[tuple[int, str]]] = {}
        """The rows of prompts with several answers that differ from the first row's, with what they say."""
        self._first_answers = array("q")
        """Hashes of the answers in those rows."""

    def add(self, key: bytes, answer: str) -> None:
        """Adds a row: the hash of its prompt, and its answer."""
        number, slot = len(self._slot_of), self._slots.setdefault(key, len(self._slots))
        self._slot_of.append(slot)
        normal = _normal_answer(answer)
        if slot == len(self._first):
            self._first.append(number)
            self._first_answers.append(hash(normal))
        elif hash(normal) != self._first_answers[slot]:
            self._answers.setdefault(slot, []).append((number, normal))

    def add_unusable(self) -> None:
        """Adds a row that can be nothing but dropped."""
        self._slot_of.append(-1)

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        return len(self._slot_of)

    @property
    def prompts(self) -> int:
        """Number of different prompts so far."""
        return len(self._slots)

    def decide(self, policy: ConflictPolicy) -> tuple[bytearray, list[Conflict]]:
        """What becomes of each row, and all conflicts in the order of their first rows.

        The first row of a prompt is kept, or of a prompt with several answers the first row that has the
        answer that was chosen. Where the most frequent answers are equally frequent there is no majority, and
        the prompt is dropped.
        """
        conflicts = self._conflicts()
        fates = bytearray(len(self._slot_of))
        for number, slot in enumerate(self._slot_of):
            if slot < 0:
                fates[number] = UNUSABLE
            elif slot in conflicts:
                fates[number] = CONFLICTING
            else:
                fates[number] = KEPT if self._first[slot] == number else REPEATED
        for conflict in conflicts.values():
            conflict.kept = _choice(conflict, policy)
            if conflict.kept is not None:
                for number in next(group for group in conflict.groups if conflict.kept in group):
                    fates[number] = REPEATED
                fates[conflict.kept] = KEPT
        return fates, list(conflicts.values())

    def _conflicts(self) -> dict[int, Conflict]:
        others = {number: answer for rows in self._answers.values() for number, answer in rows}
        groups: dict[int, dict[str | None, list[int]]] = {slot: {} for slot in sorted(self._answers)}
        for number, slot in enumerate(self._slot_of):
            if slot in groups:
                groups[slot].setdefault(others.get(number), []).append(number)
        return {slot: Conflict(list(rows.values())) for slot, rows in groups.items()}


def _choice(conflict: Conflict, policy: ConflictPolicy) -> int | None:
    if policy == "first":
        return conflict.groups[0][0]
    if policy == "majority":
        most = max(len(rows) for rows in conflict.groups)
        winners = [rows for rows in conflict.groups if len(rows) == most]
        return winners[0][0] if len(winners) == 1 else None
    return None


def _normal_answer(answer: str) -> str:
    return "".join(unicodedata.normalize("NFKC", answer).split())

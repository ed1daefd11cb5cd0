"""Which training prompts share text with an evaluation set, by word 8-grams."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORDS = 8
_WORD = re.compile(
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""A run of letters and digits, or a single Chinese character."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and Unicode's NFKC. Punctuation separates, and is no word."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True)
class Hit:
    """Text that a prompt shares with a prompt of an evaluation set: the one it shares most with."""

    evaluation: str
    """Name of the set."""
    prompt: int
    """Row of the prompt in the set, from 1."""
    share: float
    """How much of the evaluation prompt's 8-grams the prompt holds: 1 is all of it."""
    text: str
    """The longest run of words both hold."""


class Evaluations:
    """The 8-grams of evaluation sets.

    An evaluation prompt of fewer than eight words is found only where a prompt has exactly its words: any
    looser rule would find "what is 2 plus 2" everywhere.
    """

    def __init__(self) -> None:
        self._grams: dict[str, list[int]] = {}
        self._short: dict[str, int] = {}
        self._prompts: list[tuple[str, int, int]] = []
        """Set, place in the set, and number of distinct 8-grams, by number over all sets."""

    def add(self, name: str, texts: Iterable[str]) -> int:
        """Adds a set. Returns the number of its prompts; one that stands there again is none."""
        seen: set[str] = set()
        for place, text in enumerate(texts, start=1):
            words = words_of(text)
            if " ".join(words) in seen:
                continue
            seen.add(" ".join(words))
            grams = set(_grams(words))
            number = len(self._prompts)
            self._prompts.append((name, place, len(grams)))
            if words and not grams:
                self._short.setdefault(" ".join(words), number)
            for gram in grams:
                self._grams.setdefault(gram, []).append(number)
        return len(seen)

    def find(self, text: str) -> Hit | None:
        """What of the evaluation sets stands in `text`; None if nothing does."""
        words = words_of(text)
        short = self._short.get(" ".join(words)) if len(words) < WORDS else None
        if short is not None:
            name, place, _ = self._prompts[short]
            return Hit(name, place, 1.0, " ".join(words))
        shared = [gram in self._grams for gram in _grams(words)]
        if not any(shared):
            return None
        counts = Counter(number for gram in set(_grams(words)) for number in self._grams.get(gram, ()))
        best = max(counts, key=lambda number: (counts[number] / self._prompts[number][2], -number))
        name, place, total = self._prompts[best]
        own = [best in self._grams.get(gram, ()) for gram in _grams(words)]
        return Hit(name, place, counts[best] / total, _longest_run(words, own))


def _grams(words: Sequence[str]) -> list[str]:
    return [" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1)]


def _longest_run(words: Sequence[str], shared: Sequence[bool]) -> str:
    """The words of the longest run of shared 8-grams."""
    best = (0, 0)
    start = 0
    for place, found in enumerate([*shared, False]):
        if not found:
            best = max(best, (place - start, -start))
            start = place + 1
    length, start = best[0], -best[1]
    return " ".join(words[start : start + length + WORDS - 1])

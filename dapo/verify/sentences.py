"""Counting the sentences of a text, by a rule of our own that needs no trained model."""

from __future__ import annotations

import re

_STOPS = r".!?\u3002\uFF01\uFF1F\u0964\u2026"
_END = re.compile(rf"(?<![{_STOPS}])[{_STOPS}]+[\"'\u201D\u2019)\]*_]*(?=\s|$)|[\u3002\uFF01\uFF1F]+")
"""Full stops of several scripts, with closing quotes and marks after them. Chinese ones need no blank.
A match begins only where a run of stops does: a long run would be searched again from each of its places."""

_ABBREVIATIONS = frozenset(
    (
        *(
            "mr",
            "mrs",
            "ms",
            "dr",
            "prof",
            "sr",
            "jr",
            "st",
            "vs",
            "e.g",
            "i.e",
            "cf",
            "al",
            "fig",
            "no",
            "vol",
        ),
        *("dept", "approx", "inc", "ltd", "co", "p.s", "p.p.s"),
    )
)
_LONGEST_WORD = 20


def count_sentences(text: str) -> int:
    """How many sentences `text` has. What follows the last full stop is one too, if it holds a word.

    The stop of an abbreviation (`Dr.`, `e.g.`), of an initial (`J.`) or of a number that opens a line or a
    sentence (`1.`) ends none.
    """
    count, start = 0, 0
    for end in _END.finditer(text):
        if _is_abbreviation(text, start, end):
            continue
        count += any(map(str.isalnum, text[start : end.start()]))
        start = end.end()
    return count + any(map(str.isalnum, text[start:]))


def _is_abbreviation(text: str, start: int, end: re.Match[str]) -> bool:
    if end.group() != ".":
        return False
    before = text[max(start, end.start() - _LONGEST_WORD) : end.start()]
    word = before.split()[-1] if before and not before[-1].isspace() else ""
    if word.isdigit():
        return before.rpartition("\n")[2].strip() == word
    word = word.lstrip("(\"'*_[").lower()
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i")

r"""Where the answer stands in a completion.

A finder takes the text after the thinking and returns the answer, or None where it finds none. `FINDERS`
names them; a reward says which of them to ask, in which order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

MAX_BOX = 4000
"""Characters a box may hold."""
MAX_LINE = 300
"""Characters of an answer that no box holds."""
MAX_PROSE_WORDS = 2
"""A text with more words outside of formulas is prose, and no answer as a whole."""
MAX_PIECES = 20
"""Boxes or formulas that may form one answer."""
REACH = 4000
"""How many characters at the end are searched for a formula or number that nothing marks."""

_SPECIAL_TOKEN = re.compile(r"<\|[a-zA-Z_]{1,30}\|>")
_BOX = re.compile(r"\\f?box(?:ed)?\s{0,3}\{|beginboxed\s{0,3}\{")
_BRACE = re.compile(r"[{}]")
_CONNECTIVE = re.compile(r"[,;]|\b(?:and|or)\b")
_ONLY_CONNECTIVE = re.compile(r"(?:[\s$,;{}]|\\[,;:!()\[\]]|\\q?quad|\\text|and|or){0,60}")
_MARKER = re.compile(
    r"####|<answer>|答案(?:是|为)?|\banswers?[^.\n:$]{0,60}?(?:\*\*)? ?(?::|\bis\b|\bare\b)"
    r"|\banswer\s+(?=\$|\\\(|\\\[)",
    re.IGNORECASE,
)
_AFTER_MARKER = re.compile(r"(?:\s|[:\uff1a]|\*\*|(?:is|are|equals|equal to)\b)*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s+[A-Z]|\s*$)|。|</answer>|\n")
_VERB = re.compile(r"\b(?:is|are|equals|be)\b|=")
_FORMULA = re.compile(
    r"(?:(?<!\\)\$\$([^$]{1,400})\$\$|(?<!\\)\$([^$\n]{1,400}?)(?<!\\)\$"
    r"|\\\(([^\n]{1,400}?)\\\)|\\\[((?:[^\\]|\\(?!\])){1,400})\\\])(?:\s?\\?%|\s?(?:percent|pct)\b)?"
)
_PERCENT = re.compile(r"\$?\s?\\?%|\$?\s?(?:percent|pct)\b")
_NUMBER = re.compile(
    r"(?:(?<![\w.,^\\{}\-])-)?(?<![\w.,^\\{}])[$€£]?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)?(?:\.[0-9]+|(?<=[0-9]))(?:/[0-9]+)?(?!\w|\.[0-9])(?:\s?\\?%)?"
    r"|-?\\[dt]?frac\{-?[0-9]+\}\{[0-9]+\}",
    re.ASCII,
)
_ALTERNATIVE = re.compile(r"\bor\s+$")
_VALUE = re.compile(rf"{_FORMULA.pattern}|{_NUMBER.pattern}", re.ASCII)
_NAME = re.compile(r"\W*\\?[a-zA-Z]+(?:\([a-zA-Z, ]*\))?\W*")
_COMMANDS = re.compile(r"\\text\s?\{[^{}]*\}|\\[a-zA-Z]+")
# Scripts without blanks between words count a word for every two characters.
_WORD = re.compile(r"(?<![\w\\{])[a-zA-Z]{2,}|[\u3040-\u9fff\uac00-\ud7af]{1,2}|[\u00c0-\u1fff]{2,}")
_LABEL = re.compile(r"[A-Za-z]{3,20}(?: [A-Za-z]{1,20}){0,4}:\s+")


@dataclass(frozen=True)
class _Piece:
    """A box or formula: where it stands, and what it holds."""

    start: int
    end: int
    content: str | None
    """None for a box that never closes."""


def after_thinking(text: str) -> str:
    """What follows the last `</think>`, or all of it if there is none; without special tokens."""
    text = text.rpartition("</think>")[2]
    return _SPECIAL_TOKEN.sub("", text) if "<|" in text else text


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` of `text` holds; None without one, or if its brace never closes."""
    _, found, rest = text.rpartition("\\boxed{")
    if not found:
        return None
    end = _box_end(rest, 0)
    return None if end is None else rest[:end]


def find_boxed(text: str) -> str | None:
    r"""What the last `\boxed{}` or `\fbox{}` holds. A box that never closes is none.

    Boxes that only `,`, `and` or `or` part are one answer: `\boxed{1}` and `\boxed{2}`.
    """
    boxes = [_box(text, match) for match in list(_BOX.finditer(text))[-MAX_PIECES:]]
    if not boxes or boxes[-1].content is None:
        return None
    return _joined(text, boxes)


def find_marked(text: str) -> str | None:
    """What follows the last `Answer:`, `the answer is`, `####` or `<answer>`, up to the end of the sentence.

    Of prose it is the formula or number at its beginning, or else after its last verb, or else its first.
    """
    markers = list(_MARKER.finditer(text))
    if not markers:
        return None
    rest = text[markers[-1].end() :][: 4 * MAX_LINE]
    rest = rest[_AFTER_MARKER.match(rest).end() :]  # type: ignore[union-attr]  # It matches the empty text too.
    formula = _FORMULA.match(rest)
    end = _SENTENCE_END.search(rest, formula.end() if formula else 0)
    sentence = (rest[: end.start()] if end else rest).strip()
    if not _is_prose(sentence):
        return sentence or None
    tail = sentence[max(match.end() for match in _VERB.finditer(" is " + sentence)) - 4 :].strip()
    values = (_VALUE.match(sentence), _VALUE.match(tail), _VALUE.search(sentence))
    return next((value[0] for value in values if value), None)


def find_whole(text: str) -> str | None:
    """The whole text, where it is one line that is an answer and no prose. A label before it is left out."""
    line = text.strip()
    if len(line) > MAX_LINE or _is_prose(line) or ("\n" in line and "\\begin" not in line):
        return None
    return _LABEL.sub("", line, count=1) or None


def find_value(text: str) -> str | None:
    """The last number or formula, whichever ends later. Formulas of a name alone (`$n$`) come last of all.

    Formulas that only `,`, `and` or `or` part are one answer. A number after `or` is none: to guess
    twice is not to answer.
    """
    text = text[-REACH:]
    pieces = [_Piece(match.start(), match.end(), match[0]) for match in _FORMULA.finditer(text)]
    formulas = [piece for piece in pieces if not _is_prose((piece.content or "").strip("$"))]
    numbers = list(_NUMBER.finditer(text))
    telling = [piece for piece in formulas if not _NAME.fullmatch(piece.content or "")]
    telling = telling if telling or numbers else formulas
    if numbers and (not telling or numbers[-1].start() >= telling[-1].end):
        return None if _ALTERNATIVE.search(text, 0, numbers[-1].start()) else numbers[-1][0]
    return _joined(text, telling[-MAX_PIECES:]) if telling else None


FINDERS: Mapping[str, Callable[[str], str | None]] = {
    "boxed": find_boxed,
    "marked": find_marked,
    "whole": find_whole,
    "value": find_value,
}


def find_answer(text: str, finders: Iterable[str]) -> str | None:
    """What the first of `finders` that finds an answer found in a completion."""
    text = after_thinking(text)
    found = (FINDERS[name](text) for name in finders)
    return next((answer for answer in found if answer is not None and answer.strip()), None)


def gold_answer(text: str) -> str:
    """The answer in a data set's answer column, which may hold a worked solution.

    That is what it boxes, or else what a marker such as `####` announces, or else all of it.
    """
    found = find_boxed(text) or find_marked(text)
    return text if found is None else found


def _box(text: str, match: re.Match[str]) -> _Piece:
    end = _box_end(text, match.end())
    if end is None:
        return _Piece(match.start(), len(text), None)
    percent = _PERCENT.match(text, end + 1)
    return _Piece(match.start(), end + 1, text[match.end() : end] + (percent[0] if percent else ""))


def _box_end(text: str, start: int) -> int | None:
    """Where the brace before `start` closes."""
    depth = 1
    for match in _BRACE.finditer(text, start, start + MAX_BOX):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return None


def _joined(text: str, pieces: list[_Piece]) -> str:
    """The last piece, and those before it that belong to it. Nothing is said twice."""
    found = [pieces[-1]]
    for piece in reversed(pieces[:-1]):
        between = text[piece.end : found[0].start]
        if (
            piece.content is None
            or not _CONNECTIVE.search(between)
            or not _ONLY_CONNECTIVE.fullmatch(between)
        ):
            break
        found.insert(0, piece)
    return ", ".join(dict.fromkeys(piece.content or "" for piece in found))


def _is_prose(text: str) -> bool:
    words = _WORD.findall(_COMMANDS.sub(" ", _FORMULA.sub(" ", text)))
    return len(words) > MAX_PROSE_WORDS or "?" in text

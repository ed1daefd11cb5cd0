"""Compares a number in the completion with the gold answer, as numbers. The reward of GSM8K.

The number is the first one after the last `Answer:`, `####` or `\\boxed{` of the completion, and where
there is no such marker, the last number of the completion. `1,234`, `$1234`, `1234.00` and `1234%` are
the same number; so are `1/2`, `\\frac{1}{2}` and `0.5`. There are no exponents: a model could write one
whose value does not fit into memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from dapo.rewards.math_dapo import last_boxed
from dapo.types import Completion, Example, Score

_MARKER = re.compile(r"answer\**\s*:|####|\\boxed\{", re.IGNORECASE)

# A minus right after a digit, a letter or a closing bracket is a subtraction or a hyphen, not a sign.
_NUMBER = re.compile(
    r"(?P<sign>(?:(?<![\w)}\]])[-+])?(?:\$-?)?)"
    r"(?:\\[dt]?frac\{(?P<top>\d+)\}\{(?P<bottom>\d+)\}"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)?(?P<decimals>\.\d+)?(?:/(?P<over>\d+))?)"
)

_SPELLINGS = (("\N{MINUS SIGN}", "-"), ("\\$", "$"), ("{,}", ","), ("\\,", ""), ("\\!", ""))


@dataclass(frozen=True)
class Reward:
    """1 if the number found equals the gold answer exactly, else 0.

    `Score.answer` is the number in lowest terms (`18`, `1/2`), so that equal answers are equal texts.
    Raises ValueError if the gold answer is not a number.
    """

    name: ClassVar[str] = "number"

    require_marker: bool = False
    """Read nothing but the number after a marker."""
    window: int = 2000
    """How many characters at the end of the completion are read."""

    def __post_init__(self) -> None:
        # Python refuses to read integers of more than 4300 digits.
        if not 1 <= self.window <= 4000:
            raise ValueError(f"window must lie between 1 and 4000 characters, not {self.window}")

    def __call__(self, completion: Completion, example: Example) -> Score:
        gold = first_number(example.answer)
        if gold is None:
            raise ValueError(
                f"the answer {example.answer!r} of example {example.id} is not a number; "
                "use the reward `exact` or `math_dapo`"
            )
        found = self._find(completion.text[-self.window :])
        if found is None:
            return Score(score=0.0)
        return Score(score=float(found == gold), answer=str(found))

    def _find(self, text: str) -> Fraction | None:
        markers = list(_MARKER.finditer(text))
        if markers:
            marker = markers[-1]
            boxed = last_boxed(text[marker.start() :])
            return first_number(text[marker.end() :] if boxed is None else boxed)
        if self.require_marker:
            return None
        numbers = _numbers(text)
        return numbers[-1] if numbers else None


def first_number(text: str) -> Fraction | None:
    """The first number in `text`, or None."""
    numbers = _numbers(text)
    return numbers[0] if numbers else None


def _numbers(text: str) -> list[Fraction]:
    for spelling, plain in _SPELLINGS:
        text = text.replace(spelling, plain)
    values = (_value(match) for match in _NUMBER.finditer(text))
    return [value for value in values if value is not None]


def _value(match: re.Match[str]) -> Fraction | None:
    top, bottom = match["top"], match["bottom"] or match["over"] or "1"
    digits = top or (match["whole"] or "").replace(",", "") + (match["decimals"] or "")
    if not digits or int(bottom) == 0:
        return None
    sign = -1 if "-" in match["sign"] else 1
    return sign * Fraction(digits) / int(bottom)

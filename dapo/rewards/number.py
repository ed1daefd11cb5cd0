"""Compares a number in the completion with the gold answer, as numbers. The reward of GSM8K.

The number is the first one after the last `Answer:`, `####` or `\\boxed{` of the completion, and where
there is no such marker, the last number of the completion. `41 or 42` behind a marker is no number. `1,234`,
`$1234`, `1234.00` and `1234%` are the same number; so are `1/2`, `\\frac{1}{2}` and `0.5`. There are no
exponents: a model could write one whose value does not fit into memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.extract import last_boxed
from dapo.verify.numbers import find_numbers

_CHOICE = re.compile(r"[^0-9\n]*[0-9][0-9.,/{}]*\W{0,9}(?:text\W)?\W{0,9}\bor\b\W{0,9}[0-9]", re.IGNORECASE)
_MARKER = re.compile(r"answer\**\s*:|####|\\boxed\{", re.IGNORECASE)


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
        gold = _first_number(example.answer)
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
            return _stated(text[marker.end() :] if boxed is None else boxed)
        if self.require_marker:
            return None
        numbers = find_numbers(text)
        return numbers[-1] if numbers else None


def _stated(text: str) -> Fraction | None:
    """The first number, unless another one is offered in its place."""
    numbers = find_numbers(text)
    if len(set(numbers[:2])) == 2 and _CHOICE.match(text.lstrip()):
        return None
    return numbers[0] if numbers else None


def _first_number(text: str) -> Fraction | None:
    numbers = find_numbers(text)
    return numbers[0] if numbers else None

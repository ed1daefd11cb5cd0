"""Short answers of facts: equal, nearly equal in spelling, or the same number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking, line_after
from dapo.verify.extract import last_boxed
from dapo.verify.golds import golds
from dapo.verify.text import as_number, edit_distance, half_width, normalise

_NUMBERS = re.compile(r"(?:(?<!\w)-)?[0-9]+(?:[.,][0-9]+)*")
_MAX_CHARACTERS = 1000
"""How long an answer may be: a longer one is no short answer of a fact."""


@dataclass(frozen=True)
class Reward:
    """1 if the answer agrees with one of the gold answers, else 0. The rule is Yuan3.0's for mllm_knowledge.

    Two texts agree if they are equal without case, punctuation and articles, or if their edit distance over
    the longer length is below `max_distance`. Two numbers agree if they are equal (`1,200` and `1200.0`), and
    otherwise never; nor do texts with different numbers in them, however near (`in 1914`, `in 1915`). No
    word is left out, and none is read as a number, as Yuan3.0's normalisation does.

    The answer is what the last `\\boxed{...}` holds, or else the rest of the line after `marker`, or else all
    that stands after the thinking. `Score.answer` is that text.
    """

    name: ClassVar[str] = "knowledge"

    max_distance: float = 0.5
    """0.5 is Yuan3.0's, and generous: `parma` is nearer than that to `paris`. 0 asks for equal texts."""
    golds: str | None = None
    """Column of the gold answers. None: `answers` where there is one, else the answer."""
    marker: str = "Answer:"

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= 1:
            raise ValueError(f"max_distance must lie in [0, 1], not {self.max_distance} (Yuan3.0 has 0.5)")

    def __call__(self, completion: Completion, example: Example) -> Score:
        text = after_thinking(completion.text)
        answer = last_boxed(text) or line_after(text, self.marker) or text.strip()
        if not answer or len(answer) > _MAX_CHARACTERS:
            return Score(0.0)
        return Score(
            float(any(self._agree(answer, gold) for gold in golds(example, self.golds))), answer=answer
        )

    def _agree(self, answer: str, gold: str) -> bool:
        wanted = as_number(gold)
        if wanted is not None:
            return as_number(answer) == wanted
        if _numbers(answer) != _numbers(gold):
            return False
        one, other = normalise(answer), normalise(gold)
        if one == other:
            return bool(other)
        return edit_distance(one, other) < self.max_distance


def _numbers(text: str) -> list[Fraction | str]:
    """The numbers inside a text, signs included, in order."""
    plain = half_width(text).replace("\N{MINUS SIGN}", "-")
    found = _NUMBERS.findall(plain)
    return [digits if (number := as_number(digits)) is None else number for digits in found]

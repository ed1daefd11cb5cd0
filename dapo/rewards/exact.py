"""The text after a marker must be the gold answer, white space aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score


@dataclass(frozen=True)
class Reward:
    """1 if the rest of the line after the last `marker` equals the gold answer, else 0.

    Runs of white space count as one blank, and those at the ends not at all.
    `Score.answer` is the text found, None if the marker is missing or nothing follows it.
    """

    name: ClassVar[str] = "exact"

    marker: str = "Answer:"
    """What stands before the answer. Empty: the whole completion is the answer."""

    def __call__(self, completion: Completion, example: Example) -> Score:
        answer = self._find(completion.text)
        if not answer:
            return Score(score=0.0)
        return Score(score=float(answer == _one_line(example.answer)), answer=answer)

    def _find(self, text: str) -> str:
        if not self.marker:
            return _one_line(text)
        _, found, rest = text.rpartition(self.marker)
        return _one_line(rest.partition("\n")[0]) if found else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())

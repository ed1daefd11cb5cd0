"""Does the completion repeat itself? Counted in n-grams that stand there more than once."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
_WIDTH = array("q").itemsize


@dataclass(frozen=True)
class Reward:
    """0 if the share of repeated n-grams, 1 - distinct / all, reaches `threshold`, else 1.

    Yuan3.0 Flash (arXiv 2601.01718): 20-grams, 0.2. A completion shorter than an n-gram repeats nothing.
    """

    name: ClassVar[str] = "repetition"

    unit: Literal["tokens", "words"] = "tokens"
    """What is counted. A word is what stands between blanks, in lower case; of Chinese and Japanese every
    character is one."""
    ngram: int = 20
    threshold: float = 0.2
    graded: bool = False
    """The score falls in a straight line: 1 without a repetition, 0 from `threshold` on."""

    def __post_init__(self) -> None:
        if self.ngram < 1:
            raise ValueError(f"ngram must be at least 1, not {self.ngram}; Yuan3.0 Flash has 20")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], not {self.threshold}; Yuan3.0 Flash has 0.2")

    def __call__(self, completion: Completion, example: Example) -> Score:
        numbers = completion.token_ids if self.unit == "tokens" else _numbered(completion.text)
        share = repeated_share(numbers, self.ngram)
        if self.graded:
            return Score(score=max(0.0, 1 - share / self.threshold))
        return Score(score=float(share < self.threshold))


def repeated_share(numbers: Iterable[int], ngram: int) -> float:
    """1 - distinct / all, over the overlapping n-grams of a sequence; 0 where there is none."""
    packed = array("q", numbers)
    total = len(packed) - ngram + 1
    if total < 1:
        return 0.0
    content, size = packed.tobytes(), ngram * _WIDTH
    distinct = {content[start : start + size] for start in range(0, total * _WIDTH, _WIDTH)}
    return 1 - len(distinct) / total


def _numbered(text: str) -> Iterable[int]:
    """The words of a text as numbers, equal ones as equal numbers."""
    known: dict[str, int] = {}
    return [known.setdefault(word, len(known)) for word in _WORD.findall(text.casefold())]

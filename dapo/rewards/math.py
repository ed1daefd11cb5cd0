r"""Mathematical answers, however they are written: `\boxed{\frac{1}{2}}`, `Answer: 0.5`, `$1/2$` are equal.

The answer is looked for in the places that `extract` names, read into a form (number, tuple, set, word ...)
and compared with the gold answer: by form where that decides, by math-verify where it does not. The normal
form is `Score.answer`, so that equal answers are equal texts as far as forms decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.equivalence import Answer, answer, equivalent
from dapo.verify.extract import FINDERS, find_answer, gold_answer


@dataclass(frozen=True)
class Reward:
    """1 if the answer found is equivalent to the gold answer, else 0.

    Raises ValueError if the gold answer is empty.
    """

    name: ClassVar[str] = "math"
    isolated: ClassVar[bool] = True
    """Computer algebra may not end: grade in a process that can be killed."""

    extract: Sequence[str] = ("boxed", "marked", "whole", "value")
    """Where answers are looked for, in order: in the last box; after the last `Answer:`, `the answer is` or
    `####`; the whole completion if it is one line without prose; the last formula or number."""
    window: int = 20_000
    """How many characters at the end of the completion are read."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.extract if name not in FINDERS]
        if unknown or not self.extract:
            raise ValueError(
                f"extract takes at least one of {', '.join(FINDERS)}; not {unknown or 'nothing'}"
            )
        if not 1 <= self.window <= 1_000_000:
            raise ValueError(f"window must lie between 1 and 1000000 characters, not {self.window}")

    def __call__(self, completion: Completion, example: Example) -> Score:
        gold = _gold(example.answer)
        if not gold.text:
            raise ValueError(
                f"the answer of example {example.id} is empty; drop the row or mend its answer column"
            )
        found = find_answer(completion.text[-self.window :], self.extract)
        if found is None:
            return Score(score=0.0)
        given = answer(found)
        return Score(score=float(equivalent(given, gold)), answer=str(given))


@lru_cache(maxsize=1024)
def _gold(text: str) -> Answer:
    return answer(gold_answer(text))

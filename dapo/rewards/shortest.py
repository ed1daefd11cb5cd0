"""Is the completion short among those of its prompt? The length reward of Kimi k1.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score


@dataclass(frozen=True)
class Reward:
    """1 for the shortest of the group, 0 for the longest, in a straight line between them; in tokens.

    Kimi k1.5 (arXiv 2501.12599, Sec. 2.3.3) adds lambda = 0.5 - (length - min) / (max - min) to right
    answers and min(0, lambda) to wrong ones, with min and max over all answers. That is a weight of 1
    with offset 0.5 and `among: group`, behind the gate `correct`, and a second entry with `ceiling: 0.5`
    behind `wrong`. Behind `correct` without `among`, right answers are compared with right ones only.
    """

    name: ClassVar[str] = "shortest"

    tie: float = 1.0
    """The score of all where all are equally long, or where there is one. Kimi's is 0.5."""
    ceiling: float = 1.0
    """No score is higher."""

    def __post_init__(self) -> None:
        for setting, value in (("tie", self.tie), ("ceiling", self.ceiling)):
            if not 0 <= value <= 1:
                raise ValueError(f"{setting} must lie in [0, 1], not {value}")

    def __call__(self, completions: list[Completion], example: Example) -> list[Score]:
        lengths = [len(completion) for completion in completions]
        least, most = min(lengths), max(lengths)
        scores = [(most - length) / (most - least) if most > least else self.tie for length in lengths]
        return [Score(score=min(score, self.ceiling)) for score in scores]

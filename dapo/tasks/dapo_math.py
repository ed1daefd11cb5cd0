"""DAPO-Math-17k (arXiv 2503.14476, section 4.1): competition problems with integer answers."""

from __future__ import annotations

from dataclasses import dataclass

from dapo.data.columns import Columns, to_examples
from dapo.data.files import read_rows
from dapo.data.hub import read_hub
from dapo.rewards import math_dapo
from dapo.types import Example

HUB = "BytedTsinghua-SIA/DAPO-Math-17k"

PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'


@dataclass(frozen=True)
class Task:
    """Training problems only; evaluate on another task, such as `aime`.

    The file as published holds each problem about a hundred times. `build_prompts` keeps one of each.
    """

    path: str | tuple[str, ...] | None = None
    """Files in verl's schema. None: the dataset of the hub."""
    repair_fractions: bool = True
    """Some copies of the data hold a form feed where the `\\f` of `\\frac` stood: put it back."""

    @property
    def reward(self) -> math_dapo.Reward:
        """The scorer of the paper's runs."""
        return math_dapo.Reward()

    def train(self) -> list[Example]:
        """All problems, in the wrapper the paper's runs used."""
        rows = read_hub(HUB) if self.path is None else read_rows(self.path)
        return list(to_examples(rows, Columns(), self._rewrite))

    def eval(self) -> list[Example]:
        """None: the data has no held-out part."""
        return []

    def gold_completion(self, example: Example) -> str:
        """The answer alone, on the line the wrapper asks for."""
        return f"Answer: {example.answer}"

    def _rewrite(self, problem: str) -> str:
        return wrap(problem.replace("\frac", "\\frac") if self.repair_fractions else problem)


def wrap(problem: str) -> str:
    """DAPO's instructions around a problem, each of them only where it is missing."""
    before = "" if problem.startswith(PREFIX) else PREFIX
    after = "" if problem.endswith(SUFFIX) else SUFFIX
    return f"{before}{problem}{after}"

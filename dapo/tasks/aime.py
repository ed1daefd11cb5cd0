"""The American Invitational Mathematics Examination: 30 problems a year, answers from 0 to 999."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dapo.data.columns import Columns, to_examples
from dapo.data.files import Row, read_rows
from dapo.data.hub import read_hub
from dapo.errors import UserError
from dapo.rewards import math_dapo
from dapo.tasks.dapo_math import wrap
from dapo.types import Example

HUBS = {2024: ("BytedTsinghua-SIA/AIME-2024", "train"), 2025: ("math-ai/aime25", "test")}
"""Where a year's problems come from without a `path`: dataset and split."""


@dataclass(frozen=True)
class Task:
    """For evaluation only, asked and scored as in the DAPO paper: the mean over 32 completions.

    DAPO's own file holds each of the 30 problems 32 times, so that one completion per row makes avg@32. Here
    such rows are one prompt, and `dapo eval` draws 32 completions of it unless told otherwise: the same
    avg@32, over 30 problems, with pass@k and maj@k. The paper draws them at temperature 1 and top-p 0.7.
    """

    year: Literal[2024, 2025] = 2024
    path: str | tuple[str, ...] | None = None
    """Files with the columns `problem` and `answer`, or in verl's schema. None: a dataset of the hub."""

    @property
    def reward(self) -> math_dapo.Reward:
        """The scorer of the paper's runs."""
        return math_dapo.Reward()

    def train(self) -> list[Example]:
        """Raises UserError: training on a published test would make its number worthless."""
        raise UserError("aime is for evaluation only; train on another task, such as dapo_math")

    def eval(self) -> list[Example]:
        """The problems of the year in DAPO's wrapper, as often as the data hold them.

        Raises UserError for an answer that is no integer from 0 to 999.
        """
        dataset, split = HUBS[self.year]
        rows = read_hub(dataset, split=split) if self.path is None else read_rows(self.path)
        return list(_examples(rows))

    def gold_completion(self, example: Example) -> str:
        """The answer alone, on the line the wrapper asks for."""
        return f"Answer: {example.answer}"


def _examples(rows: Iterator[Row]) -> Iterator[Example]:
    for row in rows:
        columns = Columns(prompt="problem", answer="answer") if "problem" in row.values else Columns()
        for example in to_examples([row], columns, wrap):
            # Answer sheets have three digits, 033, but nobody who solves the problem writes that.
            yield dataclasses.replace(example, answer=str(_integer(example.answer, row)))


def _integer(answer: str, row: Row) -> int:
    text = answer.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise UserError(
            f"{row.place}: the answer {answer!r} is no integer from 0 to 999; is this an AIME file?"
        )
    return int(text)

"""The calculator annotations of GSM8K (`<<48/2=24>>`) as a task: expression in, value out.

Real data on which a very small model can be warmed up and then get better.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from dapo.data.columns import Columns, to_examples
from dapo.data.expressions import text_of, value_of
from dapo.data.files import Row
from dapo.data.repeat import endlessly
from dapo.rewards import number
from dapo.tasks.gsm8k import read_split, solution_of
from dapo.types import Example

log = logging.getLogger(__name__)

_ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")


@dataclass(frozen=True)
class Annotations:
    """The distinct expressions of a split with their values, and what was left out."""

    values: dict[str, Fraction]
    wrong: int
    """Annotations whose value is not that of the expression, most of them rounded."""
    malformed: int
    """Annotations that are not arithmetic."""
    repeated: int
    """Annotations whose expression stood before."""


@dataclass(frozen=True)
class Task:
    """Trains on the expressions of GSM8K's train split, evaluates on those of its test split."""

    train_path: str | None = None
    """JSONL file with `question` and `answer`, as published. None: the train split of the hub's dataset."""
    eval_path: str | None = None
    """The same for the test split."""
    held_out_only: bool = True
    """Leave out of the evaluation what stands in the train split too."""
    prompt_template: str = "{prompt}=?\n"
    """What is asked, with the expression in the place of `{prompt}`."""

    def __post_init__(self) -> None:
        self._columns()  # which checks the template

    @property
    def reward(self) -> number.Reward:
        """Right if the number after the last `Answer:` is the exact value."""
        return number.Reward(require_marker=True)

    def train(self) -> list[Example]:
        """One example per expression of the train split."""
        return self._examples("train", self._annotations("train").values)

    def eval(self) -> list[Example]:
        """One example per expression of the test split."""
        values = self._annotations("test").values
        if self.held_out_only:
            known = self._annotations("train").values
            held_out = {expression: value for expression, value in values.items() if expression not in known}
            log.info(
                "%d of %d test expressions stand in the train split", len(values) - len(held_out), len(values)
            )
            values = held_out
        return self._examples("test", values)

    def gold_completion(self, example: Example) -> str:
        """The value alone."""
        return f"Answer: {example.answer}"

    def demonstrations(self) -> Iterator[tuple[Example, str]]:
        """Training expressions with their values, without end."""
        return ((example, self.gold_completion(example)) for example in endlessly(self.train()))

    def _annotations(self, split: str) -> Annotations:
        path = self.train_path if split == "train" else self.eval_path
        found = read_annotations(read_split(path, split))
        log.info(
            "%s split: %d expressions; left out: %d repeated, %d with a wrong value, %d malformed",
            *(split, len(found.values), found.repeated, found.wrong, found.malformed),
        )
        return found

    def _examples(self, split: str, values: dict[str, Fraction]) -> list[Example]:
        rows = (
            Row(f"gsm8k_calculator/{split}", place, {"expression": expression, "value": text_of(value)})
            for place, (expression, value) in enumerate(values.items(), start=1)
        )
        return list(to_examples(rows, self._columns()))

    def _columns(self) -> Columns:
        return Columns(prompt="expression", answer="value", prompt_template=self.prompt_template)


def read_annotations(rows: Iterable[Row]) -> Annotations:
    """All annotations in the solutions of `rows`. Raises UserError for a row without a solution."""
    values: dict[str, Fraction] = {}
    wrong = malformed = repeated = 0
    for row in rows:
        for expression, stated in _ANNOTATION.findall(solution_of(row)):
            try:
                value, agrees = value_of(expression), value_of(expression) == value_of(stated)
            except ValueError:
                malformed += 1
                continue
            key = "".join(expression.split())
            wrong += not agrees
            repeated += agrees and key in values
            if agrees:
                values.setdefault(key, value)
    return Annotations(values, wrong, malformed, repeated)

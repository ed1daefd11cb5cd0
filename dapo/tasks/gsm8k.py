"""GSM8K (arXiv 2110.14168): grade-school word problems with worked solutions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dapo.data.columns import Columns, to_examples
from dapo.data.files import Row, read_rows
from dapo.data.hub import read_hub
from dapo.data.repeat import endlessly
from dapo.errors import UserError
from dapo.rewards import number
from dapo.types import Example

_ANNOTATION = re.compile(r"<<[^<>]*>>")
_INSTRUCTION = "Think step by step. The last line must read Answer: N, where N is the number asked for."


@dataclass(frozen=True)
class Task:
    """7,473 problems to train on, 1,319 to evaluate on."""

    train_path: str | None = None
    """JSONL file with `question` and `answer`, as published. None: the train split of the hub's dataset."""
    eval_path: str | None = None
    """The same for the test split."""
    prompt_template: str = "{prompt}\n\n" + _INSTRUCTION
    """What is asked, with the question in the place of `{prompt}`."""

    def __post_init__(self) -> None:
        self._columns()  # which checks the template

    @property
    def reward(self) -> number.Reward:
        """Right if the number after `Answer:`, or the last number, is the gold one."""
        return number.Reward()

    def train(self) -> list[Example]:
        """The problems of the train split. Raises UserError for a row without a gold answer."""
        return self._examples(self.train_path, "train")

    def eval(self) -> list[Example]:
        """The problems of the test split. Raises UserError for a row without a gold answer."""
        return self._examples(self.eval_path, "test")

    def gold_completion(self, example: Example) -> str:
        """The worked solution of the data, without calculator annotations, ending in `Answer: N`."""
        working = str(example.columns["answer"]).rpartition("####")[0]
        return f"{_ANNOTATION.sub('', working).strip()}\nAnswer: {example.answer}"

    def demonstrations(self) -> Iterator[tuple[Example, str]]:
        """Training problems with their worked solutions, without end."""
        return ((example, self.gold_completion(example)) for example in endlessly(self.train()))

    def _examples(self, path: str | None, split: str) -> list[Example]:
        return list(to_examples(_with_gold(read_split(path, split)), self._columns()))

    def _columns(self) -> Columns:
        return Columns(prompt="question", answer="gold", prompt_template=self.prompt_template)


def read_split(path: str | None, split: str) -> Iterator[Row]:
    """Rows of a file, or of a split of the hub's dataset where no path is given."""
    return read_hub("openai/gsm8k", "main", split) if path is None else read_rows(path)


def solution_of(row: Row) -> str:
    """The worked solution of a row. Raises UserError if there is none, or no gold answer in it."""
    solution = row.values.get("answer")
    if not isinstance(solution, str) or not solution.rpartition("####")[1]:
        raise UserError(
            f"{row.place}, column 'answer': no gold answer after ####; give GSM8K's files as published"
        )
    return solution


def _with_gold(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        gold = solution_of(row).rpartition("####")[2].strip().replace(",", "")
        yield Row(row.source, row.number, {**row.values, "gold": gold})

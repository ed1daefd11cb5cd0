"""What tasks over one's own tables have in common: columns, a held-out part, a reward by data source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from dapo.data.columns import Columns, to_examples
from dapo.data.dedupe import text_key
from dapo.data.files import Row
from dapo.data.golden import gold_completion
from dapo.data.split import held_out_keys, split_examples
from dapo.rewards import mixed
from dapo.types import Example


@dataclass(frozen=True, kw_only=True)
class Table(Columns, ABC):
    """A task whose rows have the columns that the settings of `Columns` name."""

    eval_fraction: float | None = None
    """Share of the distinct training prompts to hold out for the evaluation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_fraction is not None and not 0 < self.eval_fraction < 1:
            raise ValueError(
                f"eval_fraction must lie between 0 and 1 (both excluded), not {self.eval_fraction}"
            )

    @property
    def reward(self) -> mixed.Reward:
        """What the columns `task`, `reward_method` or `data_source` of a row ask for, else the exact text
        after `Answer:`."""
        return mixed.Reward()

    def train(self) -> list[Example]:
        """The examples to train on."""
        examples = self._examples(self._train_rows())
        return examples if self.eval_fraction is None else split_examples(examples, self.eval_fraction)[0]

    def stream(self) -> Iterator[Example]:
        """The examples to train on, one at a time: those of a file that does not fit into memory.

        With `eval_fraction` the rows are read twice, once to choose what is held out.
        """
        if self.eval_fraction is None:
            return to_examples(self._train_rows(), self)
        held_out = held_out_keys(to_examples(self._train_rows(), self), self.eval_fraction)
        examples = to_examples(self._train_rows(), self)
        return (example for example in examples if text_key(example) not in held_out)

    def eval(self) -> list[Example]:
        """The examples to evaluate on; none if neither rows nor a fraction are set aside for it."""
        if self.eval_fraction is not None:
            return split_examples(self._examples(self._train_rows()), self.eval_fraction)[1]
        return self._examples(self._eval_rows())

    def gold_completion(self, example: Example) -> str:
        """The answer alone, in the form that the reward of the row reads.

        Raises UserError for a row that holds none, such as tests without a program that passes them.
        """
        return gold_completion(self.reward(example), example)

    @abstractmethod
    def _train_rows(self) -> Iterator[Row]:
        """Rows to train on."""

    @abstractmethod
    def _eval_rows(self) -> Iterator[Row]:
        """Rows to evaluate on; none where the settings name none."""

    def _examples(self, rows: Iterator[Row]) -> list[Example]:
        return list(to_examples(rows, self))

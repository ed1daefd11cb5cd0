"""Multiple choice: a question, its options by letters, and the letter of the right one."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dapo.data.columns import Columns, to_examples
from dapo.data.files import Row, read_rows
from dapo.data.hub import read_hub
from dapo.data.split import split_examples
from dapo.errors import UserError
from dapo.rewards import choice
from dapo.types import Example

_INSTRUCTION = "Think step by step. The last line must read Answer: X, where X is the letter of your choice."


@dataclass(frozen=True, kw_only=True)
class Task:
    """Rows with a question, options and an answer, as in MMLU, ARC, CommonsenseQA and many others.

    Options are a list, `{"A": ..., "B": ...}`, or `{"label": [...], "text": [...]}`. The answer is a letter,
    a place in the list counted from 0, or the words of an option.
    """

    path: str | tuple[str, ...] | None = None
    """Files to train on. None: the hub's dataset `name`."""
    eval_path: str | tuple[str, ...] | None = None
    """Files to evaluate on."""
    eval_fraction: float | None = None
    """In their place: the share of the training questions to hold out."""
    name: str = "cais/mmlu"
    """Dataset of the hub, used where no path is given."""
    subset: str | None = "all"
    split: str = "auxiliary_train"
    eval_split: str = "test"
    question: str = "question"
    """Column of the question."""
    options: str = "choices"
    """Column of the options."""
    answer: str = "answer"
    """Column of the answer."""
    instruction: str = _INSTRUCTION
    """What stands behind the options."""

    def __post_init__(self) -> None:
        if self.eval_fraction is not None and not 0 < self.eval_fraction < 1:
            raise ValueError(f"eval_fraction must lie between 0 and 1, not {self.eval_fraction}")
        if self.eval_path is not None and self.eval_fraction is not None:
            raise ValueError("eval_path and eval_fraction exclude each other; set one of them")

    @property
    def reward(self) -> choice.Reward:
        """Right if the option named last is the gold one, by its letter or its words."""
        return choice.Reward(letters=string.ascii_uppercase, options="options")

    def train(self) -> list[Example]:
        """The questions to train on. Raises UserError for a row without options or without a right one."""
        examples = self._examples(self._rows(self.path, self.split))
        return examples if self.eval_fraction is None else split_examples(examples, self.eval_fraction)[0]

    def eval(self) -> list[Example]:
        """The questions to evaluate on; none if neither files nor a fraction are set aside for it."""
        if self.eval_fraction is not None:
            return split_examples(self._examples(self._rows(self.path, self.split)), self.eval_fraction)[1]
        if self.path is not None and self.eval_path is None:
            return []
        return self._examples(self._rows(self.eval_path, self.eval_split))

    def gold_completion(self, example: Example) -> str:
        """The letter alone, on the line the instruction asks for."""
        return f"Answer: {example.answer}"

    def _rows(self, path: str | tuple[str, ...] | None, split: str) -> Iterator[Row]:
        return read_hub(self.name, self.subset, split) if path is None else read_rows(path)

    def _examples(self, rows: Iterator[Row]) -> list[Example]:
        asked = (self._asked(row) for row in rows)
        return list(to_examples(asked, Columns(prompt="asked", answer="letter")))

    def _asked(self, row: Row) -> Row:
        """The row with the question as it is asked, its options by letters, and the letter of the answer."""
        for name in (self.question, self.options, self.answer):
            if name not in row.values:
                raise UserError(
                    f"{row.place}: there is no column {name!r}; the columns are {', '.join(row.values)}; set "
                    "`question`, `options` and `answer` to the columns that hold them"
                )
        options = _by_letter(row.values[self.options], row)
        listed = "\n".join(f"{letter}. {text}" for letter, text in options.items())
        asked = f"{str(row.values[self.question]).strip()}\n\n{listed}\n\n{self.instruction}"
        letter = _letter(row.values[self.answer], options, row)
        return Row(
            row.source, row.number, {**row.values, "asked": asked, "letter": letter, "options": options}
        )


def _by_letter(value: Any, row: Row) -> dict[str, str]:
    if isinstance(value, Mapping) and "text" in value:
        texts = list(value["text"])
    elif isinstance(value, Mapping):
        texts = [text for _, text in sorted(value.items()) if text is not None]
    elif isinstance(value, (list, tuple)):
        texts = list(value)
    else:
        raise UserError(f"{row.place}: the options are a {type(value).__name__}; a list of texts is needed")
    if not 2 <= len(texts) <= len(string.ascii_uppercase):
        raise UserError(f"{row.place}: there are {len(texts)} options; 2 to 26 make a question")
    return {letter: str(text).strip() for letter, text in zip(string.ascii_uppercase, texts, strict=False)}


def _letter(value: Any, options: Mapping[str, str], row: Row) -> str:
    letters = list(options)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(letters):
        return letters[value]
    text = str(value).strip()
    if text.upper() in options:
        return text.upper()
    named = [letter for letter, option in options.items() if option.casefold() == text.casefold()]
    if len(named) == 1:
        return named[0]
    raise UserError(
        f"{row.place}: the answer {value!r} names none of the options {', '.join(letters)}; give a letter, a "
        "place counted from 0, or the words of an option"
    )

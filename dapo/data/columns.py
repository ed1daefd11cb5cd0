"""From the rows of a file or a hub dataset to the examples of a task."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Any

from dapo.data.files import Row, kind_of
from dapo.errors import UserError
from dapo.types import Example, Message

Rewrite = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns hold what. A column inside another is named with a dot: `reward_model.ground_truth`.

    With neither `prompt` nor `answer` given, rows in verl's schema are recognised (`prompt` holds messages,
    `reward_model.ground_truth` the answer); all other rows are read from `prompt` and `answer`.
    """

    prompt: str | None = None
    """Column of the prompt: a text, or a list of messages `{"role": ..., "content": ...}`."""
    answer: str | None = None
    """Column of the gold answer: text or a number, or `{"target": [...]}` with several texts."""
    id: str | None = None
    """Column of the ids. None: a hash of messages and answer."""
    system: str | None = None
    """System message put before prompts that have none."""
    prompt_template: str | None = None
    """Text around the last user message, with `{prompt}` in its place."""

    def __post_init__(self) -> None:
        if self.prompt_template is not None and "{prompt}" not in self.prompt_template:
            raise ValueError("prompt_template must hold {prompt}, which stands for the prompt of the row")


def to_examples(rows: Iterable[Row], columns: Columns, rewrite: Rewrite | None = None) -> Iterator[Example]:
    """One example per row, in order.

    `rewrite` changes the text of the last user message, before `prompt_template` is put around it. The
    example's `columns` are all columns but the prompt. A row that says the same as an earlier one gives
    the very same object, so that files which repeat their rows stay small in memory.

    Raises UserError for a row whose prompt, answer or id is missing or of the wrong type. The message
    names the file, the row, the column and the fix.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    reader = RowReader.of(columns, first, rewrite)
    seen: dict[str, Example] = {}
    for row in chain([first], rows):
        example = reader.example(row)
        known = seen.setdefault(example.id, example)
        yield known if known == example else example


def content_id(messages: Sequence[Message], answer: str) -> str:
    """An id that depends on nothing but what is asked and what is expected: 16 hexadecimal digits."""
    content = json.dumps([messages, answer], ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class RowReader:
    """`Columns` with the names decided. Every method raises UserError for a row that does not fit them."""

    prompt: str
    answer: str
    columns: Columns
    rewrite: Rewrite | None

    @staticmethod
    def of(columns: Columns, first: Row, rewrite: Rewrite | None = None) -> RowReader:
        """The reader of rows that look like `first`."""
        detect = columns.prompt is None and columns.answer is None
        answer = "reward_model.ground_truth" if detect and _has_verl_schema(first) else "answer"
        return RowReader(columns.prompt or "prompt", columns.answer or answer, columns, rewrite)

    def example(self, row: Row) -> Example:
        """The example of a row."""
        messages, answer = self.messages(row), self.gold(row)
        own_id = self.columns.id
        return Example(
            id=content_id(messages, answer) if own_id is None else _id_text(row, own_id),
            messages=messages,
            answer=answer,
            columns={name: value for name, value in row.values.items() if name != self.prompt},
        )

    def gold(self, row: Row) -> str:
        """The answer of a row, as text: several answers as a list in JSON."""
        value = _look_up(row, self.answer, "answer")
        if isinstance(value, Mapping) and _are_texts(value.get("target")):  # verl's searchR1 data
            value = json.dumps(value["target"], ensure_ascii=False)
        return _answer_text(value, row, self.answer)

    def messages(self, row: Row) -> list[dict[str, Any]]:
        """The messages of a row, as the model is to read them."""
        value = _look_up(row, self.prompt, "prompt")
        if isinstance(value, str):
            value = [{"role": "user", "content": value}]
        messages = _checked_messages(value, row, self.prompt)
        if self.columns.system is not None and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.columns.system})
        asked = [message for message in messages if message["role"] == "user"]
        if not asked:
            raise UserError(f"{row.place}, column {self.prompt!r}: no message has the role user; add one")
        asked[-1]["content"] = self._rewritten(asked[-1]["content"])
        return messages

    def _rewritten(self, text: str) -> str:
        if self.rewrite is not None:
            text = self.rewrite(text)
        template = self.columns.prompt_template
        return text if template is None else template.replace("{prompt}", text)


def _has_verl_schema(row: Row) -> bool:
    reward_model = row.values.get("reward_model")
    return isinstance(row.values.get("prompt"), list) and (
        isinstance(reward_model, Mapping) and "ground_truth" in reward_model
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _look_up(row: Row, column: str, setting: str) -> object:
    if column in row.values:
        return row.values[column]
    value: object = row.values
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(_missing_column(row, column, setting))
        value = value[part]
    return value


def _missing_column(row: Row, column: str, setting: str) -> str:
    names = [str(name) for name in row.values]
    nested = [
        f"{name}.{inner}"
        for name, value in row.values.items()
        if isinstance(value, Mapping)
        for inner in value
    ]
    nearest = get_close_matches(column, names + nested, n=1, cutoff=0.5)
    hint = f"the nearest name is {nearest[0]!r}" if nearest else f"the columns are {', '.join(names)}"
    return f"{row.place}: there is no column {column!r}; {hint}; set `{setting}` to the column that holds it"


def _checked_messages(value: object, row: Row, column: str) -> list[dict[str, Any]]:
    place = f"{row.place}, column {column!r}"
    if not isinstance(value, list) or not value:
        raise UserError(f"{place}: holds {kind_of(value)}; a prompt is a text or a list of messages")
    messages = []
    for message in value:
        if not isinstance(message, Mapping) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            raise UserError(
                f'{place}: a message must be {{"role": text, "content": text}}, not {message!r:.80}'
            )
        messages.append({key: part for key, part in message.items() if part is not None})
    if not any(message["content"].strip() for message in messages):
        raise UserError(f"{place}: the prompt is empty; remove the row or fill it in")
    return messages


def _answer_text(value: object, row: Row, column: str) -> str:
    place = f"{row.place}, column {column!r}"
    blank = isinstance(value, str) and not value.strip()
    if value is None or blank or (isinstance(value, float) and math.isnan(value)):
        raise UserError(f"{place}: the answer is missing; remove the row or fill it in")
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
        raise UserError(
            f"{place}: holds {kind_of(value)}; an answer is text or a finite number "
            "(for a value inside an object name the column with a dot, as in reward_model.ground_truth)"
        )
    # A column of integers with one gap is stored as floats, and 34.0 is not the text a model writes.
    return str(int(value)) if value == int(value) else str(value)


def _id_text(row: Row, column: str) -> str:
    value = _look_up(row, column, "id")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise UserError(
            f"{row.place}, column {column!r}: holds {kind_of(value)}; an id is text or an integer"
        )
    return str(value)

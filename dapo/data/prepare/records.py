"""Rows of any source in one form: what is asked, what is expected, and the labels that travel along."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from dapo.data.columns import Columns, RowReader
from dapo.data.files import Row
from dapo.data.prepare.keys import REMEMBERED, Wrappers, hashed, prompt_hash
from dapo.data.prepare.repair import Repaired, repair
from dapo.errors import UserError
from dapo.types import Message

CARRIED = ("enable_thinking_flag", "expect_len", "image_path", "db_id", "question_id", "table", "yuan_input")
"""Fields of `extra_info` that Yuan3.0's rows have besides those of verl. Absent ones stay absent."""

_NUMBERS: Mapping[str, Callable[[Any], float]] = {"expect_len": float, "question_id": int}

Text = Callable[[str], str]


@dataclass(frozen=True)
class Source:
    """Rows that can be read again and again, and how to read them."""

    name: str
    rows: Callable[[], Iterator[Row]]
    adapt: Callable[[Row], Mapping[str, Any]] | None = None
    """Makes the values of a row fit the columns. Raises UserError for a row that cannot be used."""
    columns: Columns = field(default_factory=Columns)
    data_source: str = "unknown"
    """What `data_source` becomes where a row names none: it chooses the reward."""
    ability: str = ""
    instruct: Text | None = None
    """Puts instructions around the problem. None leaves it as it is."""
    files: tuple[Path, ...] = ()
    """What is read, where it is files; the hub otherwise."""
    total: int | None = None
    """Number of rows, where it is known beforehand."""
    notes: tuple[str, ...] = ()
    """What the reader of the data card should know about it."""


@dataclass(frozen=True)
class Record:
    """One row, repaired, with nothing dropped or added yet."""

    source: str
    row: int
    messages: list[Message]
    answer: str
    problem: str
    """Text of the last user message, without added instructions."""
    labels: Mapping[str, Any]
    """`data_source`, `ability`, `style`, and, where the row has them, `reward_method` and `language`."""
    extra: Mapping[str, Any]
    """What `extra_info` held of `answer` and `CARRIED`."""
    images: tuple[Mapping[str, Any], ...]
    """`{"bytes": ..., "path": ...}` each."""
    commands: tuple[str, ...]
    """LaTeX commands that were put back."""
    control: tuple[str, ...]
    """Control characters that stay."""


@dataclass(frozen=True)
class Unusable:
    """A row that cannot be trained on."""

    place: str
    message: str

    @property
    def reason(self) -> str:
        """The message without the place, which differs from row to row, and without the fix."""
        return self.message.removeprefix(self.place).lstrip(",: ").partition(";")[0]


def read_records(source: Source, mend: bool = True) -> Iterator[Record | Unusable]:
    """One record per row, in order; a row without a prompt or an answer gives the reason instead.

    Raises UserError for a source that cannot be read at all.
    """
    reader: RowReader | None = None
    remembered = lru_cache(REMEMBERED)(repair if mend else Repaired)
    for row in source.rows():
        try:
            if source.adapt is not None:
                row = Row(row.source, row.number, source.adapt(row))
            reader = reader or RowReader.of(source.columns, row)
            yield _record(source, row, reader, remembered)
        except UserError as error:
            yield Unusable(row.place, str(error))


def record_key(record: Record, wrappers: Wrappers) -> bytes:
    """What makes two rows the same: prompt, images, and whether the answer is to be thought about."""
    images = (image.get("bytes") or str(image.get("path")) for image in record.images)
    thinking = str(record.extra.get("enable_thinking_flag", ""))
    return hashed([prompt_hash(record.messages, wrappers), thinking, *images])


def _record(source: Source, row: Row, reader: RowReader, mended: Callable[[str], Repaired]) -> Record:
    messages, answer = reader.messages(row), mended(reader.gold(row))
    texts = [mended(message["content"]) for message in messages]
    for message, text in zip(messages, texts, strict=True):
        message["content"] = text.text
    asked = next(message for message in reversed(messages) if message["role"] == "user")
    problem = asked["content"]
    if source.instruct is not None:
        asked["content"] = source.instruct(problem)
    texts.append(answer)
    return Record(
        source=source.name,
        row=row.number,
        messages=[{"role": message["role"], "content": message["content"]} for message in messages],
        answer=answer.text,
        problem=problem,
        labels=_labels(source, row.values),
        extra=_extra(row),
        images=tuple(image for image in row.values.get("images") or () if isinstance(image, Mapping)),
        commands=tuple(command for text in texts for command in text.commands),
        control=tuple(character for text in texts for character in text.left),
    )


def _labels(source: Source, values: Mapping[str, Any]) -> dict[str, str]:
    model = values.get("reward_model")
    style = model.get("style") if isinstance(model, Mapping) else None
    return {
        "data_source": str(values.get("data_source") or source.data_source),
        "ability": str(values.get("ability") or source.ability),
        "style": str(style or "rule"),
        "reward_method": str(values.get("reward_method") or ""),
        "language": str(values.get("language") or ""),
    }


def _extra(row: Row) -> dict[str, Any]:
    """What `extra_info` says. Yuan3.0 wrote 0 for a length that nobody had given: that says nothing."""
    given = row.values.get("extra_info")
    if not isinstance(given, Mapping):
        return {}
    extra = {name: given[name] for name in ("answer", *CARRIED) if given.get(name) not in (None, "")}
    if not extra.get("expect_len"):
        extra.pop("expect_len", None)
    try:
        return extra | {name: kind(extra[name]) for name, kind in _NUMBERS.items() if name in extra}
    except (TypeError, ValueError) as error:
        raise UserError(f"{row.place}, column 'extra_info': not a number ({error}); mend it") from error


def as_text(value: object) -> str:
    """A value as the text of a column: objects and lists as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

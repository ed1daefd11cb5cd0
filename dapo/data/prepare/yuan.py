"""Yuan3.0's list files: one line for each file of rows, `N path category thinking [expect_len]`.

Read as Yuan3.0's own preparation reads them, with these differences: a length that nobody gave stays missing
instead of becoming 0 (which caps every thinking completion at 1,024 tokens there), a language that nobody
gave is found by script or stays empty, a file with fewer than N rows gives the rows it has instead of copies
of them, and nothing in a row is ever evaluated as code.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dapo.data.columns import Columns
from dapo.data.files import Row, read_rows
from dapo.data.prepare.records import CARRIED, Source, as_text
from dapo.errors import UserError

SEED = 12345678
"""Of the choice of N rows."""

_IMAGE_COLUMNS = ("image_path", "imagepath", "copy_image_path", "real_image_path")
"""Where a row may name its images; the last one that does is believed."""
_ANSWERED_BY_RESPONSE = ("sft_nogeo", "sft_knowledge", "sft_grounding", "mllm_general2")
"""Categories whose rows may hold the expected answer as `response`."""
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Line:
    """One line of a list file."""

    path: Path
    rows: int | None = None
    """How many rows to choose; None takes all of them."""
    category: str | None = None
    """The `reward_method` of all rows. None leaves it to each row."""
    thinking: bool | None = None
    expect_len: float | None = None
    """Expected length of a completion in tokens, for rows that do not say it themselves."""


def read_list(path: Path) -> list[Line]:
    """The lines of a list file, with 1 to 5 fields each; a path is looked for beside the list, too.

    One field is a path. `None` for a category leaves `reward_method` to the rows. Empty lines and lines that
    begin with `#` are skipped. Raises UserError naming the line.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; check the path")
    lines = [
        _line(text.split(), f"{path}, line {number}", path.parent)
        for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
        if text.strip() and not text.lstrip().startswith("#")
    ]
    if not lines:
        raise UserError(
            f"{path}: the list names no file; write lines such as `1000 math.jsonl llm_math true 2000`"
        )
    return lines


def _line(fields: Sequence[str], place: str, folder: Path) -> Line:
    count, name, category, thinking, length = _padded(fields, place)
    path = Path(name).expanduser()
    path = path if path.is_file() else folder / path
    if not path.is_file():
        raise UserError(f"{place}: there is no file {name}; give its path, or one relative to the list")
    if count is not None and not (count.isascii() and count.isdigit() and int(count) > 0):
        raise UserError(
            f"{place}: {count!r} is no number of rows; the fields are N path category thinking expect_len"
        )
    if thinking is not None and thinking.lower() not in _TRUTH:
        raise UserError(f"{place}: thinking must be true or false, not {thinking!r}")
    if length is not None and not (length.isascii() and length.isdigit() and int(length) > 0):
        raise UserError(
            f"{place}: expect_len is a length in tokens, not {length!r}; leave it out if nobody knows"
        )
    return Line(
        path=path,
        rows=None if count is None else int(count),
        category=None if category in (None, "None") else category,
        thinking=None if thinking is None else _TRUTH[thinking.lower()],
        expect_len=None if length is None else float(length),
    )


def _padded(fields: Sequence[str], place: str) -> list[Any]:
    if len(fields) > 5:
        raise UserError(
            f"{place}: {len(fields)} fields; there are at most N path category thinking expect_len"
        )
    given: list[str | None] = [None, fields[0]] if len(fields) == 1 else list(fields)
    return given + [None] * (5 - len(given))


def list_sources(path: Path) -> list[Source]:
    """A source for each line of a list file."""
    return [_source(line) for line in read_list(path)]


def _source(line: Line) -> Source:
    total = sum(1 for _ in read_rows(line.path))
    wanted = total if line.rows is None else min(line.rows, total)
    chosen = frozenset(random.Random(SEED).sample(range(total), wanted))
    notes: tuple[str, ...] = ()
    if line.rows is not None and line.rows > total:
        notes = (f"{line.rows:,} rows were asked for; the file has {total:,}, and rows are not repeated",)

    def rows() -> Iterator[Row]:
        for place, row in enumerate(read_rows(line.path)):
            if place in chosen:
                yield row

    return Source(
        name=str(line.path),
        rows=rows,
        adapt=partial(in_verl_schema, line=line),
        columns=Columns(prompt="prompt", answer="reward_model.ground_truth"),
        data_source=line.category or "unknown",
        ability=line.category or "",
        files=(line.path,),
        total=wanted,
        notes=notes,
    )


def in_verl_schema(row: Row, line: Line) -> dict[str, Any]:
    """A row as it was written by hand or by a collector, in the schema that training reads.

    Raises UserError for an image that cannot be read.
    """
    values = row.values
    method = line.category or str(values.get("reward_method") or "")
    images = list(_images(values, line.path.parent))
    question = _question(values).replace("<n>", "\n")
    missing = len(images) - question.count("<image>")
    extra = {name: values[name] for name in CARRIED if values.get(name) not in (None, "")}
    if line.thinking is not None:
        extra["enable_thinking_flag"] = line.thinking
    extra["expect_len"] = values.get("expect_len") or line.expect_len
    return {
        "data_source": method,
        "ability": method,
        "reward_method": method,
        "prompt": [{"role": "user", "content": "<image>" * max(0, missing) + question}],
        "reward_model": {"style": "rule", "ground_truth": _answer(values, method)},
        "language": values.get("source_language") or values.get("language") or "",
        "images": [{"bytes": _bytes(path, row), "path": str(path)} for path in images],
        "extra_info": extra,
    }


def _question(values: Mapping[str, Any]) -> str:
    given = values.get("input")
    if isinstance(given, str) and given.lstrip().startswith("["):
        given = _literal(given)
    if isinstance(given, list) and given and isinstance(given[0], Mapping):
        content = given[0].get("content")
        part = content[0] if isinstance(content, list) and content else content
        return str(part.get("text", "")) if isinstance(part, Mapping) else str(part or "")
    text = values.get("yuan_input") or values.get("question") or values.get("prompt") or ""
    return text if isinstance(text, str) else as_text(text)


def _answer(values: Mapping[str, Any], method: str) -> str:
    answer = values.get("answer")
    if answer is None and method in _ANSWERED_BY_RESPONSE:
        answer = values.get("response")
    return "" if answer is None else as_text(answer)


def _images(values: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    given = next((values[name] for name in reversed(_IMAGE_COLUMNS) if values.get(name)), None)
    if isinstance(given, str):
        given = _literal(given) if given.lstrip().startswith("[") else [given]
    for name in given or ():
        yield folder / name if str(name).startswith("images") else Path(str(name))


def _literal(text: str) -> Any:
    """A list written as JSON or as a Python literal; the text itself in a list where it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [text]


def _bytes(path: Path, row: Row) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{row.place}: an image cannot be read ({error.strerror}); put it at {path}, or remove the row"
        ) from error

"""Rows from parquet, JSONL, JSON and CSV files, each row knowing where it stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dapo.errors import UserError


@dataclass(frozen=True)
class Row:
    """One row of a data source."""

    source: str
    """The file, or the name of the hub dataset."""
    number: int
    """1-based: the line of a JSONL file, otherwise the row (the header of a CSV file is none)."""
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where to look, for error messages."""
        return f"{self.source}, row {self.number}"


def read_rows(paths: str | Path | Sequence[str | Path]) -> Iterator[Row]:
    """Reads one file, or several one after the other, as `.parquet`, `.jsonl`, `.json` or `.csv` by name.

    Raises UserError, as soon as the reading gets there, for a file that is missing, empty, of an unknown
    kind or malformed. The message names the file, the row and the fix.
    """
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        yield from _read_file(Path(path).expanduser())


def kind_of(value: object) -> str:
    """What a value is, in the words of error messages: `a list`, `a number`, `nothing` ..."""
    if value is None or value in ("", [], {}):
        return "nothing"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "a number"}
    return names.get(type(value), "a number" if isinstance(value, float) else f"a {type(value).__name__}")


def _read_file(path: Path) -> Iterator[Row]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(_READERS)
        raise UserError(f"{path}: unknown kind of data file; give a file that ends in one of {kinds}")
    if not path.is_file():
        reason = (
            "is a folder; give the files in it" if path.is_dir() else "there is no such file; check the path"
        )
        raise UserError(f"{path}: {reason}")
    empty = True
    for number, values in reader(path):
        empty = False
        yield Row(str(path), number, values)
    if empty:
        raise UserError(f"{path}: the file holds no rows; give a file with at least one")


def _read_parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: not a readable parquet file ({error}); write it again") from error
    with file:
        # In pieces, for a file that repeats its rows a hundred times need not fit into memory.
        batches = file.iter_batches(batch_size=4096)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


def _read_jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = _decode(line, f"{path}, row {number}")
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{path}, row {number}: not valid JSON at character {error.pos + 1} ({error.msg}); "
                    "each line must hold one complete JSON object"
                ) from error
            yield number, _as_object(values, f"{path}, row {number}")


def _read_json(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _decode(path.read_bytes(), str(path))
    if not text.strip():
        return
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno} ({error.msg}); "
            "a file with one object per line must be named .jsonl"
        ) from error
    if not isinstance(rows, list):
        raise UserError(f"{path}: holds {kind_of(rows)}, not a list of rows; write [{{...}}, {{...}}]")
    for number, values in enumerate(rows, start=1):
        yield number, _as_object(values, f"{path}, row {number}")


def _read_csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _decode(path.read_bytes(), str(path))
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    number = 0
    try:
        for number, values in enumerate(reader, start=1):
            if None in values or None in values.values():
                columns = len(reader.fieldnames or ())
                raise UserError(
                    f"{path}, row {number}: does not have the {columns} cells of the header; "
                    "put quotes around cells that hold commas or line breaks"
                )
            yield number, values
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not valid CSV ({error}); mend the quotes") from error


def _decode(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: byte {error.start + 1} is not UTF-8; save the file with UTF-8 encoding"
        ) from error


def _as_object(values: object, place: str) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise UserError(
            f'{place}: holds {kind_of(values)}, not a JSON object; write {{"column": value, ...}}'
        )
    return values


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[int, Mapping[str, Any]]]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
}

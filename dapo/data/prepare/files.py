"""The parquet files that come out, in verl's schema and, where rows have more to say, in Yuan3.0's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dapo.data.prepare.records import Record, as_text

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 4096
_BATCH_BYTES = 64 * 2**20
"""Rows are written when so many wait, or images of so many bytes."""


def schema(yuan: bool) -> pyarrow.Schema:
    """The columns. `yuan` adds those that Yuan3.0's rows have besides."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    extra = [
        ("index", pa.int64()),
        ("split", pa.string()),
        ("answer", pa.string()),
        ("question", pa.string()),
    ]
    extra += [("source", pa.string()), ("row", pa.int64())]
    columns = [
        ("data_source", pa.string()),
        ("prompt", pa.list_(message)),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("language", pa.string()),
    ]
    if yuan:
        extra += [("enable_thinking_flag", pa.bool_()), ("expect_len", pa.float64())]
        extra += [(name, pa.string()) for name in ("image_path", "db_id")]
        extra += [("question_id", pa.int64()), ("table", pa.string()), ("yuan_input", pa.string())]
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns += [("reward_method", pa.string()), ("images", pa.list_(image))]
    return pa.schema([*columns, ("extra_info", pa.struct(extra))])


def row_of(record: Record, index: int, split: str, language: str, yuan: bool) -> dict[str, Any]:
    """A row of the file. Whatever the record does not say stays empty; nothing is made up."""
    labels, given = record.labels, record.extra
    extra = {
        "index": index,
        "split": split,
        "answer": as_text(given.get("answer", record.answer)),
        "question": record.problem,
        "source": record.source,
        "row": record.row,
    }
    row: dict[str, Any] = {
        "data_source": labels["data_source"],
        "prompt": record.messages,
        "ability": labels["ability"],
        "reward_model": {"style": labels["style"], "ground_truth": record.answer},
        "language": language,
        "extra_info": extra,
    }
    if yuan:
        extra |= _carried(given)
        row["reward_method"] = labels["reward_method"] or None
        row["images"] = list(record.images)
    return row


def _carried(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: given.get(name) for name in ("enable_thinking_flag", "expect_len", "question_id")},
        **{
            name: as_text(given[name])
            for name in ("image_path", "db_id", "table", "yuan_input")
            if name in given
        },
    }


class Writer:
    """Writes rows to a parquet file that is there whole, or not at all."""

    def __init__(self, path: Path, columns: pyarrow.Schema) -> None:
        import pyarrow.parquet

        self.rows = 0
        self._path = path
        self._columns = columns
        self._partial = path.with_name(path.name + ".partial")
        self._file = pyarrow.parquet.ParquetWriter(self._partial, columns, compression="zstd")
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._file.close()
        if error is None and self.rows:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()

    def write(self, row: dict[str, Any]) -> None:
        """Adds a row."""
        self.rows += 1
        self._waiting.append(row)
        self._bytes += sum(len(image.get("bytes") or b"") for image in row.get("images", ()))
        if len(self._waiting) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._file.write_table(pa.Table.from_pylist(self._waiting, self._columns))
            self._waiting, self._bytes = [], 0

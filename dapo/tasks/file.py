"""Examples from one's own files: parquet, JSONL, JSON or CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dapo.data.files import Row, read_rows
from dapo.data.table import Table


@dataclass(frozen=True, kw_only=True)
class Task(Table):
    """Files to train on and, separately or as a fraction of them, to evaluate on."""

    path: str | tuple[str, ...]
    """File or files to train on."""
    eval_path: str | tuple[str, ...] | None = None
    """File or files to evaluate on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_path is not None and self.eval_fraction is not None:
            raise ValueError("eval_path and eval_fraction exclude each other; set one of them")

    def _train_rows(self) -> Iterator[Row]:
        return read_rows(self.path)

    def _eval_rows(self) -> Iterator[Row]:
        return iter(()) if self.eval_path is None else read_rows(self.eval_path)

"""Writing the files of a run so that a reader never sees half of one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to a file as `write_lines_atomically` does."""
    write_lines_atomically(path, [text])


def write_lines_atomically(path: Path, lines: Iterable[str]) -> None:
    """Write `lines` (UTF-8, with their line ends) to `path`, which at every moment holds the old or the new.

    Raises OSError where the disk does not take it; the old text stays, and nothing beside it.
    """
    partial = path.with_name(path.name + ".partial")
    # A lone surrogate, which UTF-8 cannot hold, becomes the escape that JSON has for it.
    file = partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    try:
        with file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Does nothing where directories cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_line(record: Mapping[str, Any]) -> str:
    """`record` on one line of standard JSON, without a line end.

    JSON knows neither NaN nor infinity: such floats become null at any depth.
    """
    return json.dumps(finite(record), ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """A copy of plain data (mappings, lists, tuples, scalars) with None in place of non-finite floats."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value

"""Runs queries that a model wrote on an sqlite database, without letting them change or stop anything.

sqlite looks at the clock between the instructions of its machine. A single function called with a text of
megabytes (`instr`, `replace`) may therefore take longer than it should; the deadline of the process that
grades is what ends it.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

Cell = str | int | float | bytes | None
Row = tuple[Cell, ...]

_READING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_REACHING_OUT = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_FORMATTING = frozenset({"printf", "format"})
"""They write as many characters as a query asks them to, a minute long, and look at no clock."""

_STEPS_BETWEEN_LOOKS = 10_000
"""Instructions of sqlite's machine between two looks at the clock: about a millisecond."""
_MAX_CELL_BYTES = 1 << 24
_MAX_PATTERN_BYTES = 200
"""Matching LIKE and GLOB takes time exponential in the wildcards, and looks at no clock."""
_MAX_RESULT_CHARACTERS = 1 << 26


class QueryError(Exception):
    """A query failed, was refused, or took or returned too much. The message says which."""


@dataclass(frozen=True)
class Result:
    """What a query returned."""

    columns: int
    rows: list[Row]


@dataclass(frozen=True)
class Database:
    """An sqlite database: a file, or the script that makes one in memory."""

    path: str | None = None
    script: str = ""
    modified: int = 0
    """When the file was last written, in nanoseconds: it is another database afterwards."""

    @staticmethod
    def file(path: Path) -> Database:
        return Database(path=str(path.absolute()), modified=path.stat().st_mtime_ns)

    def run(self, query: str, time_limit_s: float, max_rows: int, formatting: bool = False) -> Result:
        """The result of one statement that reads. `formatting` allows it sqlite's `printf` and `format`.

        Raises QueryError if it fails, writes, is several statements, takes longer than `time_limit_s` seconds
        or returns more than `max_rows` rows; sqlite3.Error if the database cannot be opened or made.
        """
        deadline = time.monotonic() + time_limit_s
        with closing(self._open(deadline)) as connection:
            connection.set_authorizer(_reads_and_formats if formatting else _only_reads)
            with _errors_named(deadline, time_limit_s):
                return _fetched(connection.execute(query), max_rows)

    def _open(self, deadline: float) -> sqlite3.Connection:
        source = ":memory:" if self.path is None else f"file:{quote(self.path)}?mode=ro"
        connection = sqlite3.connect(source, uri=self.path is not None, isolation_level=None)
        try:
            connection.text_factory = _decoded
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
            if sys.version_info >= (3, 11):
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL_BYTES)
                connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _MAX_PATTERN_BYTES)
            if self.script:
                connection.set_authorizer(_stays_inside)
                connection.executescript(self.script)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _reads_and_formats(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Lets a statement select and call functions, and nothing else: no ATTACH, no PRAGMA, no write."""
    forbidden = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS
    allowed = action in _READING and not forbidden
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _only_reads(action: int, first: str | None, second: str | None, *others: str | None) -> int:
    formats = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORMATTING
    return sqlite3.SQLITE_DENY if formats else _reads_and_formats(action, first, second, *others)


def _stays_inside(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Lets the script of a database do whatever touches no file."""
    forbidden = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS
    return sqlite3.SQLITE_DENY if forbidden or action in _REACHING_OUT else sqlite3.SQLITE_OK


def _fetched(cursor: sqlite3.Cursor, max_rows: int) -> Result:
    rows: list[Row] = []
    characters = 0
    for row in cursor:
        characters += sum(len(cell) for cell in row if isinstance(cell, (str, bytes)))
        if len(rows) == max_rows or characters > _MAX_RESULT_CHARACTERS:
            raise QueryError(f"it returns more than {max_rows} rows, or rows that are too long")
        rows.append(row)
    return Result(len(cursor.description or ()), rows)


@contextmanager
def _errors_named(deadline: float, time_limit_s: float) -> Iterator[None]:
    """Turns what sqlite raises at a model's text into a QueryError.

    Besides its own errors these are ValueError for a text with a NUL or half a surrogate pair, Warning for
    several statements before Python 3.12, and MemoryError for a cell that is too long.
    """
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
        if time.monotonic() > deadline:
            raise QueryError(f"it took longer than {time_limit_s:g} s") from error
        raise QueryError(str(error) or type(error).__name__) from error


def _decoded(text: bytes) -> str:
    """Databases hold text in other encodings; bytes that are no UTF-8 stay apart from each other."""
    return text.decode(errors="surrogateescape")

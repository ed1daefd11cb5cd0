"""Remembers the answers of a model, in memory and, if asked to, in a file that processes share."""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from pathlib import Path

_MOST_IN_MEMORY = 50_000
_SECONDS_FOR_A_LOCK = 30.0


class AnswerCache:
    """Answers by request. The file is an SQLite database with hashes of requests, and answers."""

    def __init__(self, path: str = "") -> None:
        """`path`: the file; empty for none. Raises ValueError if it can be no such file."""
        self._memory: dict[str, str] = {}
        self._file: sqlite3.Connection | None = None
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            try:
                self._file = sqlite3.connect(path, timeout=_SECONDS_FOR_A_LOCK, check_same_thread=False)
                with self._file as file:
                    file.execute("CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT)")
            except sqlite3.Error as error:
                raise ValueError(
                    f"cache: {path} is no cache of answers ({error}); name another file"
                ) from error

    def get(self, request: bytes) -> str | None:
        """The answer to a request seen before."""
        key = _hash(request)
        if key in self._memory or self._file is None:
            return self._memory.get(key)
        try:
            row = self._file.execute("SELECT answer FROM answers WHERE request = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return None if row is None else str(row[0])

    def put(self, request: bytes, answer: str) -> None:
        """Remembers an answer; the oldest one is dropped from memory where there are too many."""
        key = _hash(request)
        if len(self._memory) >= _MOST_IN_MEMORY:
            del self._memory[next(iter(self._memory))]
        self._memory[key] = answer
        if self._file is not None:
            try:
                with self._file as file:
                    file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))
            except sqlite3.Error as error:
                self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """An answer is worth more than its place in the file: from here on it is done without."""
        warnings.warn(f"the cache of answers is no longer used: {error}", stacklevel=3)
        self._file = None


def _hash(request: bytes) -> str:
    return hashlib.sha256(request).hexdigest()

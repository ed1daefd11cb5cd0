"""What tests of a run directory share: a disk that fails, or a process that dies, at the n-th operation."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

Fault = Literal["disk error", "kill"]

OPERATIONS = ["open", "write", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir"]


class Killed(BaseException):
    """Stands for SIGKILL: no handler catches it, and what cleans up on the way out finds a dead disk."""


class FaultyDisk:
    """Counts operations on files, and fails the n-th one. Nothing is really synced: tests are to be quick."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._fails_at = 0
        self._fault: Fault = "disk error"
        self._armed = False
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._guarded(name, getattr(os, name)))
        monkeypatch.setattr(io, "open", self._guarded("open", io.open))

    @contextmanager
    def failing(self, number: int, fault: Fault) -> Iterator[None]:
        """Within, the operation of this number, counted from 1, fails; after a kill every later one too."""
        self.calls, self._fails_at, self._fault, self._armed = 0, number, fault, True
        try:
            yield
        except (Killed, OSError, ValueError) as error:
            # A disk error may come wrapped in an error of the package, which says what to do.
            assert self.calls >= number, error
        finally:
            self._armed = False

    @property
    def failed(self) -> bool:
        return self.calls >= self._fails_at

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if self._armed:
                self.calls += 1
                if self.calls == self._fails_at:
                    self._tear(name, function, *arguments)
                if self.calls == self._fails_at or (self.failed and self._fault == "kill"):
                    raise Killed if self._fault == "kill" else OSError(errno.EIO, os.strerror(errno.EIO))
            return None if name == "fsync" else function(*arguments, **options)

        return operation

    def _tear(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """What arrives of an operation that is cut short.

        It is half of the bytes of a write. A kill may come just after a file was opened, which is empty then,
        or before all of what was written to it has been synced.
        """
        if name == "write":
            function(arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif self._fault == "kill" and name == "open" and "w" in str(arguments[1:2]):
            function(*arguments).close()
        elif self._fault == "kill" and name == "fsync":
            status = os.fstat(arguments[0])
            if stat.S_ISREG(status.st_mode):
                os.ftruncate(arguments[0], status.st_size // 2)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FaultyDisk:
    return FaultyDisk(monkeypatch)


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A directory for thousands of operations: in memory, where the system has such a place."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)

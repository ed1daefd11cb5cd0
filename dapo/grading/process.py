"""The run's end of a grading process: start it, talk to it with a deadline, end it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from dapo.grading.judging import Failure
from dapo.grading.worker import LENGTH_BYTES, OUT_OF_MEMORY, serve

_SPAWN = multiprocessing.get_context("spawn")

_GLANCE = 0.1
"""Seconds between two looks at whether a silent process still lives. Its pipe does not say: a process that it
forked may hold it open."""

_DYING = 5.0
"""Seconds that a killed process may take to be gone: it may be writing to a disk."""

_LONGEST_LINE = 64 * 2**20
"""Bytes of one message. What is longer is none."""

_starting = threading.Lock()


class Lost(Exception):
    """A worker is of no use any more. The message says what it did."""

    def __init__(self, failure: Failure, what: str) -> None:
        super().__init__(what)
        self.failure: Failure = failure


class WorkerProcess:
    """One grading process, from its start to its end. For one thread at a time, but for `kill`."""

    def __init__(self, seconds_per_answer: float, memory_gb: float | None) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        lifeline, self._lifeline = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(
            target=serve, args=(theirs, lifeline, seconds_per_answer, memory_gb), name="dapo-grading"
        )
        try:
            with _starting, _without_main():
                self._process.start()
        except BaseException:
            self._connection.close()
            self._lifeline.close()
            raise
        finally:
            theirs.close()
            lifeline.close()
        self._descriptor = self._connection.fileno()
        os.set_blocking(self._descriptor, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._descriptor, select.POLLIN)
        self._writable.register(self._descriptor, select.POLLOUT)
        self._line = bytearray()
        self._messages: deque[list[Any] | Lost] = deque()

    def send(self, frame: bytes, seconds: float) -> None:
        """Hand over a frame. Raises Lost if it is not taken within so many seconds."""
        deadline = time.monotonic() + seconds
        left = memoryview(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                if not self._writable.poll(_milliseconds(deadline)):
                    raise Lost("timeout", "does not take what it is sent") from None
            except OSError:
                raise self._ended() from None

    def receive(self, seconds: float) -> list[Any]:
        """The next message. Raises Lost if none comes within so many seconds, or none ever will."""
        deadline = time.monotonic() + seconds
        while not self._messages:
            glance = min(_milliseconds(deadline), int(1000 * _GLANCE))
            if self._readable.poll(glance):
                self._read()
            elif not self._process.is_alive():
                if not self._readable.poll(0):
                    raise self._ended()
            elif time.monotonic() >= deadline:
                raise Lost("timeout", f"took longer than {seconds:g} s (grading.seconds_per_answer)")
        message = self._messages.popleft()
        if isinstance(message, Lost):
            raise message
        return message

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except OSError:
            raise self._ended() from None
        if not piece:
            raise self._ended()
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line = bytearray(rest)
        else:
            self._line += rest
        self._messages.extend(_message(line) for line in lines)
        if len(self._line) > _LONGEST_LINE:
            self._messages.append(Lost("died", "wrote what is no result"))

    def _ended(self) -> Lost:
        """What to say of a process whose connection is gone."""
        code = self._exit_code(0.5)
        if code is None:
            return Lost("died", "closed the connection of its process")
        if code == OUT_OF_MEMORY:
            return Lost("memory", "ran out of memory (grading.memory_gb)")
        if code < 0:
            return Lost("died", f"ended its process by {_signal_name(-code)}")
        return Lost("died", f"ended its process with exit code {code}")

    def kill(self) -> None:
        """End the process and all that were started in it, now. Any thread may; `close` has to follow."""
        with contextlib.suppress(ValueError):  # It may be closed already.
            self._process.kill()
            if self._process.pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Let an idle process end by itself, so that its rewards can clean up; `close` has to follow."""
        self._connection.close()

    def close(self, patience: float = 0.0) -> None:
        """End it, after so many seconds in which it may end by itself, and give everything back."""
        self._exit_code(patience)
        self.kill()
        if self._exit_code(_DYING) is not None:
            self._process.close()
        self._connection.close()
        self._lifeline.close()

    def _exit_code(self, patience: float) -> int | None:
        """The code it ended with; None if it has not ended after so many seconds.

        `join` is of no use here: it trusts a pipe, which a forked process may hold open, and it gives up
        where another thread, while it starts a process, has waited for this one.
        """
        deadline = time.monotonic() + patience
        while (code := self._process.exitcode) is None and time.monotonic() < deadline:
            time.sleep(0.002)
        return code


def _milliseconds(deadline: float) -> int:
    return max(0, int(1000 * (deadline - time.monotonic())) + 1)


def _message(line: bytes) -> list[Any] | Lost:
    """What a line says. What is none comes in its turn, after the messages before it."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, list) or not message:
        return Lost("died", "wrote what is no result")
    return message


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide where the program's main module lies while a process starts.

    The new process would import that module once more: for a script without `if __name__ == "__main__"`
    that is to train once more, for others it is time lost. Rewards of the main module do not go to workers.
    """
    main = sys.modules["__main__"]
    names = vars(main)
    hidden: dict[str, Any] = {name: names[name] for name in ("__file__", "__spec__") if name in names}
    names.pop("__file__", None)
    names["__spec__"] = None
    try:
        yield
    finally:
        names.update(hidden)

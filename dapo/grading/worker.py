"""What a grading process does: load rewards, grade what it is sent, and leave with the run.

It imports neither torch nor NumPy, so that it is up in a moment, and handles no signals. Two pipes lead to
it. On the connection it gets frames, each a length of eight bytes and a pickle made by its parent, and it
answers with lines of JSON, so that its parent never has to load what a misbehaving process wrote:

    ["ready"]                             once, at the start
    ["loaded"], ["unloadable", why]       after a reward
    ["begin"]                             when it starts on a job
    ["answer", place, judged, threads]    as soon as it is known; whether a thread was left behind
    ["end", children]                     after a job; the number of processes left behind
    ["stop", kind, why]                   instead of an answer: an error in the settings

The lifeline carries nothing. Its end says that the run is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from dapo.errors import UserError
from dapo.grading.adapt import AdaptedReward
from dapo.grading.calls import only_grade
from dapo.grading.judging import judge_all, kind_of
from dapo.types import Completion, Example

OUT_OF_MEMORY = 83
"""Exit code of a worker in which a reward ran into the limit on memory: what filled it may stay there."""

LENGTH_BYTES = 8


def serve(
    connection: Connection, lifeline: Connection, seconds_per_answer: float, memory_gb: float | None
) -> None:
    """The life of a worker: returns when the connection ends."""
    _leave_the_terminal()
    os.setsid()  # Ctrl-C is the run's; and all that a reward starts can be ended together with it.
    _end_with(lifeline)
    _no_core_dumps()
    only_grade(seconds_per_answer)
    worker = _Worker(connection.fileno(), memory_gb)
    worker.tell(["ready"])
    try:
        while (frame := worker.read()) is not None:
            worker.handle(frame)
    except OSError:  # The connection is gone, whoever closed it: nobody can be told anything.
        return


class _Worker:
    def __init__(self, connection: int, memory_gb: float | None) -> None:
        self._connection, self._memory_gb = connection, memory_gb
        self._pid = os.getpid()
        self._rewards: dict[int, AdaptedReward] = {}
        self._surroundings = _Surroundings()
        self._threads = 0

    def read(self) -> bytes | None:
        """The next frame; None where the connection has ended."""
        length = self._read_exactly(LENGTH_BYTES)
        return None if length is None else self._read_exactly(int.from_bytes(length, "big"))

    def _read_exactly(self, size: int) -> bytes | None:
        found = bytearray()
        while len(found) < size:
            piece = os.read(self._connection, min(size - len(found), 1 << 20))
            if not piece:
                return None
            found += piece
        return bytes(found)

    def tell(self, message: Sequence[Any]) -> None:
        self._write(json.dumps(message))

    def _write(self, line: str) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # A reward forked, and this is the child: it must not answer, too.
        left = memoryview(line.encode("ascii") + b"\n")
        while left:
            left = left[os.write(self._connection, left) :]

    def handle(self, frame: bytes) -> None:
        try:
            kind, number, *content = ForkingPickler.loads(frame)
        except Exception as error:  # The columns of an example may hold anything.
            self.tell(["stop", "user", f"a row of the data cannot be read by a worker: {_last_line(error)}"])
            return
        if kind == "load":
            self._load(number, *content)
        else:
            self._grade(self._rewards[number], *content)

    def _load(self, number: int, reward: bytes, path: list[str]) -> None:
        sys.path[:] = path
        try:
            self._rewards[number] = ForkingPickler.loads(reward)
        except BaseException as error:  # It imports anyone's module, which may even call sys.exit.
            self.tell(["unloadable", _last_line(error)])
            return
        self._surroundings.keep()
        self._threads = threading.active_count()
        _limit_memory(self._memory_gb)
        self.tell(["loaded"])

    def _grade(self, reward: AdaptedReward, completions: list[Completion], example: Example) -> None:
        self.tell(["begin"])
        try:
            for place, judged in judge_all(reward, completions, example):
                if judged.failure == "memory":
                    os._exit(OUT_OF_MEMORY)
                self._surroundings.restore()
                left_behind = threading.active_count() > self._threads
                self._write(f'["answer", {place}, {judged.dumps()}, {json.dumps(left_behind)}]')
        except UserError as error:
            self.tell(["stop", kind_of(error), str(error)])
            return
        self.tell(["end", _children()])


class _Surroundings:
    """What all code of a process shares, and an answer must not change for the next one."""

    def __init__(self) -> None:
        self._changed = False
        self.keep()
        sys.addaudithook(self._hear)  # To look after every answer would take longer than many a reward.

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.chdir", "os.putenv", "os.unsetenv"):
            self._changed = True

    def keep(self) -> None:
        """Take the present state for what `restore` is to go back to."""
        self._directory, self._environment = Path.cwd(), dict(os.environ)

    def restore(self) -> None:
        if not self._changed:
            return
        os.chdir(self._directory)
        os.environ.clear()
        os.environ.update(self._environment)
        self._changed = False


def _leave_the_terminal() -> None:
    """What rewards print goes nowhere: a terminal is the run's, a pipe would fill up, a file would grow."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _end_with(lifeline: Connection) -> None:
    """End this process and all that rewards started in it when the run is gone, however it ended.

    A thread waits for that. It never gets its turn where a reward computes in C without letting go of the
    interpreter; Linux can be asked to end the process group by itself.
    """
    if sys.platform == "linux":
        import fcntl

        descriptor = lifeline.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)

    def wait() -> None:
        os.read(lifeline.fileno(), 1)
        os.killpg(os.getpid(), 9)

    threading.Thread(target=wait, name="dapo-lifeline", daemon=True).start()


def _no_core_dumps() -> None:
    import resource  # Here, as Windows lacks it.

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _limit_memory(gigabytes: float | None) -> None:
    """Allow so much besides what is taken already. Counts what is written to: address space that libraries
    only reserve is free."""
    if gigabytes is None or sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = pages * resource.getpagesize() + int(gigabytes * 2**30)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(
        resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def _children() -> int:
    """Processes started here that have not been waited for. 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:1000]

"""Runs one program in a room of its own, watches it, and tells what it wrote and how it ended.

Started by `dapo.verify.sandbox` in an interpreter without packages; needs nothing but the standard library.
Reads a request from standard input and writes the outcome to standard output, see `dapo.verify.cell.wire`.
"""

# pathlib takes longer to load than all the rest.
# ruff: noqa: PTH108, PTH116, PTH120, PTH123, PTH208

from __future__ import annotations

import os
import resource
import select
import sys
import time

from dapo.verify.cell import kernel, walls, wire

TYPE_CHECKING = False
if TYPE_CHECKING:  # A program is started for every answer: what loads slowly is not loaded here.
    from collections.abc import Iterator

_TICK = 0.02
"""Seconds between two looks at memory and time."""
_COUNTED_PER_ROOM = (5, 14)
"""From this Linux on the limit on processes counts those of the room, not all of the user."""
_SIGKILL = 9


class _Watch:
    """What a running program may do, and what it has done."""

    def __init__(self, pid: int, request: wire.Request, held: str, workplace: str) -> None:
        self.pid, self.request, self.walls, self.workplace = pid, request, held, workplace
        self.output, self.notes = bytearray(), bytearray()
        self.broken: str | None = None
        """The limit that the program broke."""
        self.status: int | None = None
        """How the program ended, as `waitpid` tells."""

    def until_the_end(self, output: int, notes: int) -> None:
        """Reads both files until the program has ended, or broken a limit."""
        files = {output: self.output, notes: self.notes}
        looked = start = silent_since = time.monotonic()
        while self.broken is None and self.status is None:
            heard = self._read(files, _TICK if files else _TICK / 10)
            now = time.monotonic()
            silent_since = now if notes in heard else silent_since
            self._reap()
            if now - silent_since > self.request.seconds or now - start > self.request.total_seconds:
                self.broken = "time"
            elif self.status is None and now - looked > _TICK:
                looked = now
                self._look_inside()
        while self.broken is None and self._read(files, 0):
            pass

    def _read(self, files: dict[int, bytearray], seconds: float) -> list[int]:
        readable = select.select(list(files), [], [], seconds)[0]
        for file in readable:
            piece = os.read(file, 1 << 16)
            files[file] += piece
            if not piece:
                del files[file]
            elif len(files[file]) > self.request.output_bytes:
                self.broken = "output"
        return readable

    def _reap(self) -> None:
        """Collects what has ended; orphans of the room come to its first process."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.pid:
                    self.status = ended[1]
        except ChildProcessError:
            return

    def _look_inside(self) -> None:
        if self.walls == "namespaces":
            processes, memory = _room()
            if processes > self.request.processes:
                self.broken = "processes"
            elif memory > self.request.memory_bytes:
                self.broken = "memory"
        elif _disk_use(self.workplace) > self.request.disk_bytes:
            self.broken = "disk"


def _room() -> tuple[int, int]:
    """Threads and unshared bytes in memory of all processes of the room but the first."""
    threads = pages = 0
    for place in _processes():
        if place == "/proc/1":
            continue
        try:
            threads += len(os.listdir(place + "/task"))
            with open(place + "/statm", encoding="ascii") as file:
                _, resident, shared, *_ = file.read().split()
        except OSError:  # It has ended by now.
            continue
        pages += int(resident) - int(shared)
    return threads, pages * resource.getpagesize()


def _processes() -> list[str]:
    try:
        return [f"/proc/{name}" for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _disk_use(folder: str) -> int:
    """Bytes of the files below."""

    def sizes(place: str) -> Iterator[int]:
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                yield from sizes(entry.path)
            else:
                yield entry.stat(follow_symlinks=False).st_size

    try:
        return sum(sizes(folder))
    except OSError:  # The program is at work there; the next look may see more.
        return 0


def _start(request: wire.Request, held: str, workplace: str) -> tuple[int, int, int]:
    """The process of the program, and the files its output and its notes can be read from."""
    task, given = _file(request.task, workplace), _file(request.stdin, workplace)
    output, notes = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            kept = [os.dup(file) for file in (given, output[1], nothing, task, notes[1])]
            moved = [os.dup2(file, 100 + place) for place, file in enumerate(kept)]
            for target, file in enumerate(moved):
                os.dup2(file, target)
            os.closerange(5, 256)
            _confine(request, held, workplace)
            os.execve(request.argv[0], request.argv, {"TMPDIR": workplace})
        finally:
            os._exit(walls.UNABLE)
    for file in (task, given, output[1], notes[1]):
        os.close(file)
    return pid, output[0], notes[0]


def _file(content: bytes, workplace: str) -> int:
    """A file without a name that holds `content`: in memory, or where there is no such thing, on disk."""
    if sys.platform == "linux":
        file = os.memfd_create("given")
    else:
        path = f"{workplace}/given"
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.unlink(path)
    while content:
        content = content[os.write(file, content) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _confine(request: wire.Request, held: str, workplace: str) -> None:
    """Gives up, for this process and for good, what the program must not have."""
    os.chdir(workplace)
    user = _user(request, held)
    limits = {
        "RLIMIT_CPU": request.cpu_seconds,
        "RLIMIT_AS": request.memory_bytes,
        "RLIMIT_FSIZE": request.disk_bytes,
        "RLIMIT_NOFILE": request.open_files,
        "RLIMIT_CORE": 0,
    }
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if held == "namespaces" and release >= _COUNTED_PER_ROOM:
        limits["RLIMIT_NPROC"] = request.processes + 2
    if user != os.getuid():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    for name, value in limits.items():
        _limit(name, value)
    if held != "none":
        kernel.no_new_privileges()
        kernel.filter_calls(alone=held == "filter")


def _user(request: wire.Request, held: str) -> int:
    """Whom the program runs as: root becomes nobody, where nobody can read Python and the workplace."""
    if held == "namespaces":
        return walls.NOBODY
    needed = (request.argv[0], os.__file__, request.workplace)
    open_to_all = all(_open_to_all(os.path.dirname(place)) for place in needed)
    return walls.NOBODY if os.getuid() == 0 and open_to_all else os.getuid()


def _open_to_all(folder: str) -> bool:
    while os.stat(folder).st_mode & 0o001:
        if folder == "/":
            return True
        folder = os.path.dirname(folder)
    return False


def _limit(name: str, value: int) -> None:
    kind = vars(resource)[name]
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):  # macOS knows RLIMIT_AS and refuses to set it.
        return


def _walls(request: wire.Request) -> str:
    """Builds the best walls there can be, no better than the request allows, and says which hold."""
    if request.walls == "namespaces" and walls.enter(request.readable, request.disk_bytes):
        return "namespaces"
    return "none" if request.walls == "none" or not _filter_works() else "filter"


def _filter_works() -> bool:
    """Whether this system lets a process give up system calls, tried in a process that ends at once."""
    pid = os.fork()
    if pid == 0:
        try:
            kernel.no_new_privileges()
            kernel.filter_calls(alone=True)
        except (OSError, AttributeError):  # Not Linux.
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _run(request: wire.Request, held: str, workplace: str) -> None:
    pid, output, notes = _start(request, held, workplace)
    watch = _Watch(pid, request, held, workplace)
    watch.until_the_end(output, notes)
    if watch.status is None:
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
    code = 0 if watch.status is None else os.waitstatus_to_exitcode(watch.status)
    outcome = wire.Reply(watch.broken or "exit", code, held, bytes(watch.output), bytes(watch.notes))
    sys.stdout.buffer.write(outcome.to_bytes())
    sys.stdout.buffer.flush()


def main() -> None:
    """Answers the one request on standard input."""
    os.umask(0o022)
    if sys.platform == "linux":
        kernel.die_with_parent()
    request = wire.Request.of_bytes(sys.stdin.buffer.read())
    held = _walls(request)
    if held == "namespaces":
        _run(request, held, walls.WORKPLACE)
        os._exit(0)
    os.chown(request.workplace, _user(request, held), -1)
    try:
        _run(request, held, request.workplace)
    finally:
        os.killpg(0, _SIGKILL)  # With all that is left of the program, this process among it.

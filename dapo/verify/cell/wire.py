"""What the sandbox and its warden say to each other, as bytes that neither side has to trust.

A message is a line with the lengths of its fields, and the fields.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # A program is started for every answer: what loads slowly is not loaded here.
    from collections.abc import Iterable, Sequence


class Request:
    """A program to run, and its limits."""

    def __init__(
        self,
        task: bytes,
        stdin: bytes,
        argv: Sequence[str],
        readable: Sequence[str],
        workplace: str,
        walls: str,
        limits: Sequence[float],
    ) -> None:
        """`limits`: seconds for a case, and in all; bytes of memory, disk, output; processes; open files."""
        self.task, self.stdin = task, stdin
        self.argv, self.readable = list(argv), list(readable)
        """What is executed, and the folders it may read besides the system's."""
        self.workplace, self.walls, self._limits = workplace, walls, list(limits)
        self.seconds, self.total_seconds = limits[:2]
        whole = [int(limit) for limit in limits[1:]]
        self.cpu_seconds = whole[0] + 1
        self.memory_bytes, self.disk_bytes, self.output_bytes, self.processes, self.open_files = whole[1:]

    def to_bytes(self) -> bytes:
        """The request as a message."""
        lists = ["\0".join(part).encode() for part in (self.argv, self.readable)]
        limits = " ".join(map(str, self._limits)).encode()
        return _packed([self.task, self.stdin, *lists, self.workplace.encode(), self.walls.encode(), limits])

    @staticmethod
    def of_bytes(message: bytes) -> Request:
        """The request in a message."""
        task, stdin, argv, readable, workplace, walls, limits = _unpacked(message)
        lists = [part.decode().split("\0") for part in (argv, readable)]
        numbers = [float(limit) for limit in limits.split()]
        return Request(task, stdin, lists[0], lists[1], workplace.decode(), walls.decode(), numbers)


class Reply:
    """How a program ended."""

    def __init__(self, ended: str, code: int, walls: str, output: bytes, notes: bytes) -> None:
        self.ended, self.code, self.walls, self.output, self.notes = ended, code, walls, output, notes

    def to_bytes(self) -> bytes:
        """The reply as a message."""
        texts = [text.encode() for text in (self.ended, str(self.code), self.walls)]
        return _packed([*texts, self.output, self.notes])

    @staticmethod
    def of_bytes(message: bytes) -> Reply:
        """The reply in a message. Raises ValueError if it holds none."""
        ended, code, walls, output, notes = _unpacked(message)
        return Reply(ended.decode(), int(code), walls.decode(), output, notes)


def _packed(fields: Sequence[bytes]) -> bytes:
    return b" ".join(str(len(part)).encode() for part in fields) + b"\n" + b"".join(fields)


def _unpacked(message: bytes) -> Iterable[bytes]:
    head, _, body = message.partition(b"\n")
    start = 0
    for length in head.split():
        yield body[start : start + int(length)]
        start += int(length)

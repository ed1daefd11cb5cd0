"""Runs code that a model wrote, where it can do no harm.

Every run is a process of its own, started from a fresh interpreter without this process's memory, files,
environment or packages, under limits on time, memory, disk, processes, open files and output. Around it stand
walls, the best the system allows:

- `namespaces` (Linux): no network; none but its own processes to be seen, and all of them end with the run;
  no files but Python's, read-only, and a small folder in memory.
- `filter` (Linux where namespaces are forbidden, as in most containers): no sockets, no processes but one,
  no signals to others. Files that the user may read can be read; root runs the code as nobody, where nobody
  can read Python.
- `none` (other systems): limits only, and the process group is killed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from dapo.verify.cell import wire
from dapo.verify.cell.walls import UNABLE

Walls = Literal["namespaces", "filter", "none"]
Ended = Literal["exit", "time", "memory", "output", "disk", "processes", "killed"]
"""`exit`: by itself, or by a signal. `killed`: with everything around it. The others are limits."""

_GRACE_SECONDS = 10.0
"""What starting and ending a run may take on a busy machine, besides the program's own time."""
_CELL = Path(__file__).with_name("cell")
_BOOT = (
    "import sys, types\n"
    "package = types.ModuleType('dapo'); package.__path__ = [sys.argv[1]]; sys.modules['dapo'] = package\n"
    "from dapo.verify.cell.warden import main\n"
    "main()\n"
)
"""Starts the warden without the package's face, which may come to import more than a warden needs."""


class SandboxError(RuntimeError):
    """The sandbox itself failed; of the code nothing is known."""


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    seconds: float = 6.0
    """Of wall-clock time for a case: a program, or one of several tests run together."""
    total_seconds: float = 60.0
    """Of wall-clock time for a run with several tests."""
    memory_mb: int = 1024
    disk_mb: int = 64
    output_kb: int = 1024
    processes: int = 16
    """Processes and threads at once, where there are namespaces."""
    open_files: int = 64

    def __post_init__(self) -> None:
        for name in ("seconds", "total_seconds", "memory_mb", "disk_mb", "output_kb", "processes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
        if self.open_files < 16:
            raise ValueError("open_files must be at least 16: Python itself needs some")


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    ended: Ended
    code: int
    """Exit status of the program; negative is the signal that ended it."""
    output: bytes
    """What it wrote to standard output, as far as the limit goes."""
    notes: Sequence[Any]
    """What its tests noted (see `dapo.verify.cell.harness`), without lines that lack the number."""
    walls: Walls


def run(
    code: str,
    *,
    tests: str | None = None,
    stdin: str = "",
    limits: Limits | None = None,
    packages: bool = False,
    walls: Walls = "namespaces",
) -> Outcome:
    """Runs `code` as a program that reads `stdin`; or, with `tests`, as a module the tests are run on.

    `packages` lets it import what is installed beside this package. `walls` are the best ones to try.

    Raises:
        SandboxError: if the run could not be started.
    """
    limits = limits or Limits()
    number = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="dapo-code-", ignore_cleanup_errors=True) as workplace:
        reply = _ask(_request(_task(code, tests, number), stdin, limits, packages, walls, workplace), limits)
    if reply is None:
        return Outcome("killed", -signal.SIGKILL, b"", [], "none")
    if reply.code == UNABLE and not reply.notes:
        raise SandboxError(f"Python could not be started inside the walls ({reply.walls})")
    ended, held = cast(Ended, reply.ended), cast(Walls, reply.walls)
    return Outcome(ended, reply.code, reply.output, _numbered(reply.notes, number), held)


@functools.cache
def walls_here() -> Walls:
    """The best walls this system allows, found by building them once.

    Raises:
        SandboxError: if nothing can be run at all.
    """
    outcome = run("print(6 * 7)")
    if outcome.output != b"42\n":
        raise SandboxError(f"a program that prints 42 ended by {outcome.ended}, status {outcome.code}")
    return outcome.walls


def _task(code: str, tests: str | None, number: str) -> bytes:
    """What `dapo.verify.cell.harness` reads. Lone surrogates, which are no text, become question marks."""
    first, second = (text.encode("utf-8", "replace") for text in (code, tests or ""))
    return f"{number} {len(first)} {len(second)}\n".encode() + first + second


def _request(
    task: bytes, stdin: str, limits: Limits, packages: bool, walls: Walls, workplace: str
) -> wire.Request:
    real = os.path.realpath(sys.executable)
    harness = (_CELL / "harness.py").read_text(encoding="utf-8")
    return wire.Request(
        task=task,
        stdin=stdin.encode("utf-8", "replace"),
        argv=[
            *(sys.executable if packages else real, "-I", *([] if packages else ["-S"])),
            *("-B", "-X", "utf8", "-c", harness),
        ],
        readable=[os.path.realpath(sys.base_prefix), *([sys.prefix] if packages else []), real],
        workplace=workplace,
        walls=walls,
        limits=[
            *(limits.seconds, limits.total_seconds),
            *(limits.memory_mb << 20, limits.disk_mb << 20, limits.output_kb << 10),
            *(limits.processes, limits.open_files),
        ],
    )


def _ask(request: wire.Request, limits: Limits) -> wire.Reply | None:
    """The warden's reply; None if it was killed, as a program without walls around it can do."""
    command = [os.path.realpath(sys.executable), "-I", "-S", "-c", _BOOT, str(_CELL.parents[1])]
    pipe = subprocess.PIPE
    warden = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env={}, start_new_session=True
    )
    try:
        reply, trouble = warden.communicate(request.to_bytes(), limits.total_seconds + _GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(warden)
    if reply:
        return wire.Reply.of_bytes(reply)
    if trouble:
        raise SandboxError(f"the sandbox did not start: {trouble.decode(errors='replace')[-500:]}")
    return None


def _end(warden: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(warden.pid, signal.SIGKILL)
    with warden:
        warden.kill()


def _numbered(notes: bytes, number: str) -> list[Any]:
    """The notes that came with the number."""
    found = []
    for line in notes.splitlines():
        mark, _, text = line.partition(b" ")
        if mark == number.encode("ascii"):
            with contextlib.suppress(ValueError, RecursionError):
                found.append(json.loads(text))
    return found

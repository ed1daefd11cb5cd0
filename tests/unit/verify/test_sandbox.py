"""Code that means harm, inside every kind of wall this system can build."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dapo.verify.sandbox import Limits, Outcome, SandboxError, Walls, run, walls_here

SMALL = Limits(seconds=3, total_seconds=5, memory_mb=256, disk_mb=8, output_kb=64, processes=8)
WALLS: tuple[Walls, ...] = ("namespaces", "filter")


@functools.cache
def found(walls: Walls) -> Walls:
    return run("", walls=walls).walls


def available(walls: Walls) -> Walls:
    """Skips where there can be none; where the system's own tool builds namespaces, they must be found."""
    if found(walls) != walls:
        tool = shutil.which("unshare")
        if walls == "namespaces" and tool is not None:
            assert subprocess.run([tool, "-Urnmpf", "true"], capture_output=True).returncode != 0
        pytest.skip(f"this system does not allow {walls}")
    return walls


@pytest.fixture(params=WALLS)
def walls(request: pytest.FixtureRequest) -> Walls:
    return available(request.param)


def harm(code: str, walls: Walls, limits: Limits = SMALL) -> Outcome:
    """Runs `code` and sees that nothing of it is left afterwards."""
    outcome = run(code, limits=limits, walls=walls)
    assert outcome.walls == walls
    wait_for(lambda: not [line for line in processes() if "_sitebuiltins" in line])
    return outcome


def wait_for(condition: Callable[[], bool], seconds: float = 3) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "a process outlived its run"
        time.sleep(0.02)


def processes() -> list[str]:
    """The command lines of all processes; the harness is handed over as text, and so is part of it."""
    found = []
    for place in Path("/proc").glob("[1-9]*/cmdline"):
        try:
            found.append(place.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_program_reads_and_writes(walls: Walls) -> None:
    outcome = run("name = input()\nprint('hello', name)", stdin="Ada\n", walls=walls)
    assert (outcome.ended, outcome.code, outcome.output) == ("exit", 0, b"hello Ada\n")


def test_standard_input_ends() -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").output == b"''\n"


def test_the_walls_are_named() -> None:
    assert walls_here() in ("namespaces", "filter", "none")


def test_an_endless_loop_ends_at_the_limit(walls: Walls) -> None:
    start = time.monotonic()
    assert harm("while True: pass", walls, Limits(seconds=0.5)).ended == "time"
    assert time.monotonic() - start < 8


def test_threads_that_never_end(walls: Walls) -> None:
    code = (
        "import threading, time\nfor _ in range(3): threading.Thread(target=time.sleep, args=(99,)).start()"
    )
    assert harm(code, walls, Limits(seconds=0.5, total_seconds=5)).ended == "time"


def test_a_fork_bomb(walls: Walls) -> None:
    code = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.1)"
    assert harm(code, walls, Limits(seconds=1, total_seconds=3, processes=8)).ended in ("processes", "time")


def test_a_thread_bomb(walls: Walls) -> None:
    code = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"
    outcome = harm(code, walls, Limits(seconds=0.5, memory_mb=256))
    assert (outcome.ended, outcome.code) != ("exit", 0)


def test_a_memory_bomb(walls: Walls) -> None:
    outcome = harm("x = []\nwhile True: x.append(bytearray(10 << 20))", walls)
    assert (outcome.ended, outcome.code) != ("exit", 0)


def test_memory_of_many_processes_counts_together() -> None:
    code = (
        "import os, time\nfor _ in range(6):\n    if not os.fork():\n"
        "        x = bytearray(os.urandom(1) * (100 << 20)); time.sleep(9)\ntime.sleep(9)"
    )
    assert harm(code, available("namespaces")).ended == "memory"


@pytest.mark.parametrize(("files", "megabytes"), [(1, 20), (20, 4)])
def test_a_disk_filler(walls: Walls, files: int, megabytes: int) -> None:
    code = (
        f"import time\nfor place in range({files}):\n    with open(f'f{{place}}', 'wb') as f:\n"
        f"        f.write(bytes({megabytes} << 20))\n    time.sleep(0.05)"
    )
    outcome = harm(code, walls)
    assert (outcome.ended, outcome.code) != ("exit", 0)


def test_endless_printing(walls: Walls) -> None:
    outcome = harm("while True: print('x' * 10000)", walls)
    assert outcome.ended == "output"
    assert len(outcome.output) < 1 << 18


def test_secrets_in_the_environment(walls: Walls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPO_SECRET", "s3cret")
    output = harm("import os; print(dict(os.environ))", walls).output
    assert b"s3cret" not in output and b"TMPDIR" in output


def test_files_of_the_user(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    outcome = harm(f"print(open({str(secret)!r}).read())", available("namespaces"))
    assert outcome.code == 1 and b"s3cret" not in outcome.output
    assert harm("open('/etc/passwd').read()", "namespaces").code == 1


def test_python_cannot_be_written_to() -> None:
    """Not even by its owner, whom this process may be."""
    code = "import os\nprint(bool(os.statvfs(os.__file__).f_flag & os.ST_RDONLY))\nopen(os.__file__, 'a')"
    outcome = harm(code, available("namespaces"))
    assert outcome.output == b"True\n" and outcome.code == 1


def test_the_network(walls: Walls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\nprint('out')"
        outcome = harm(code, walls)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.code == 1 and outcome.output == b""


@pytest.mark.parametrize("who", ["os.getppid()", "0", "-1", str(os.getpid())])
def test_killing_the_parent_and_everybody(walls: Walls, who: str) -> None:
    code = f"import os, signal\ntry: os.kill({who}, signal.SIGKILL)\nexcept OSError: pass\nprint('there')"
    outcome = harm(code, walls)
    assert outcome.output == b"there\n" or outcome.code == -9


def test_interrupting_the_warden(walls: Walls) -> None:
    code = (
        "import os, signal\ntry: os.kill(os.getppid(), signal.SIGINT)\nexcept OSError: pass\nprint('there')"
    )
    assert harm(code, walls).output == b"there\n"


def test_children_in_sessions_of_their_own_end_too(walls: Walls) -> None:
    code = (
        "import os, sys, time\nif not os.fork():\n    try: os.setsid()\n    except OSError: pass\n"
        "    if not os.fork(): time.sleep(60)\n    os._exit(0)\nprint('left')"
    )
    outcome = harm(code, walls)
    assert outcome.output == b"left\n" or (walls == "filter" and outcome.code == 1)


def test_new_namespaces_are_refused(walls: Walls) -> None:
    """Inside one a program would be root, with a larger part of the kernel to attack."""
    code = "import ctypes, os\nprint(ctypes.CDLL(None, use_errno=True).unshare(0x10000000))"
    assert harm(code, walls).output == b"-1\n"


def test_limits_cannot_be_raised(walls: Walls) -> None:
    code = (
        "import resource\nfor kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):\n"
        "    try: resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)\n"
        "    except (ValueError, OSError): print('no')"
    )
    assert harm(code, walls).output == b"no\n" * 3


def test_limits_of_the_warden_cannot_be_lowered(walls: Walls) -> None:
    code = (
        "import os, resource\ntry: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))\n"
        "except (OSError, ValueError): print('no')"
    )
    assert harm(code, walls).output == b"no\n"


def test_deleting_the_working_folder(walls: Walls) -> None:
    code = "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nprint('gone')"
    assert harm(code, walls).output == b"gone\n"


def test_the_working_folder_is_gone_afterwards(walls: Walls) -> None:
    path = harm("import os\nopen('left', 'w')\nprint(os.path.abspath('left'))", walls).output.decode().strip()
    assert path and not Path(path).exists()


def test_output_that_is_no_text(walls: Walls) -> None:
    assert harm("import os; os.write(1, bytes([255, 0, 128]))", walls).output == b"\xff\x00\x80"


def test_text_that_is_no_text() -> None:
    assert run("print('\ud800' + input())", stdin="\udfff\0").output == b"??\0\n"


def test_a_huge_exit(walls: Walls) -> None:
    assert harm("import os; os._exit(3)", walls).code == 3
    assert harm("import sys; sys.exit('no' * 100000)", walls).code == 1


def test_nothing_heavy_is_loaded() -> None:
    assert run("import sys; print('torch' in sys.modules, 'site' in sys.modules)").output == b"False False\n"


def test_packages_only_where_allowed() -> None:
    code = "import numpy; print(int(numpy.arange(4).sum()))"
    assert run(code).code == 1
    roomy = Limits(memory_mb=4096, processes=32)
    assert run(code, packages=True, limits=roomy).output == b"6\n"


def test_many_at_once_do_not_disturb_each_other() -> None:
    outputs: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda n=n: outputs.update({n: run(f"print({n})").output})) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {n: f"{n}\n".encode() for n in range(8)}


def test_where_namespaces_are_forbidden_a_filter_takes_their_place() -> None:
    """As in most containers: this process gives up the system calls that make them, and runs code."""
    available("filter")
    program = (
        "from dapo.verify.cell import kernel\nkernel.no_new_privileges()\nkernel.filter_calls(alone=False)\n"
        "from dapo.verify.sandbox import run, walls_here\nprint(walls_here(), run('print(7)').output)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "filter b'7\\n'\n", done.stderr


def test_a_sandbox_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no python here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    with pytest.raises(SandboxError, match="no python here"):
        run("print(1)")


@pytest.mark.parametrize(
    "name", ["seconds", "total_seconds", "memory_mb", "disk_mb", "output_kb", "processes"]
)
def test_limits_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0"):
        Limits(**{name: 0})

"""Sides of a benchmark in processes of their own: one computes at a time, all with the same threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OURS = Path(sys.executable)
TRL = ROOT / ".venv-trl/bin/python"
VLLM = ROOT / ".venv-vllm/bin/python"


class Missing(Exception):
    """A side that cannot be measured. The message says why, in a few words."""


@dataclass(frozen=True)
class Side:
    """What runs: a script, the interpreter of its environment, and its job."""

    python: Path
    script: str
    job: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """A side at work. It sleeps until it is asked."""

    def __init__(self, side: Side, threads: int) -> None:
        """Start it and hand it its job; its first answer says that it is warm. Raises Missing."""
        if not side.python.exists():
            raise Missing("not installed: make peers")
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  open for as long as the worker lives
        self.process = subprocess.Popen(
            [str(side.python), str(Path(__file__).parent / side.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **_environment(threads), **side.environment},
        )
        self.send(json.dumps({**side.job, "threads": threads}))

    def send(self, line: str = "") -> None:
        """Ask for the next answer."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # one that has died is found out by `receive`
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next answer. Raises Missing, after the log's end was printed, where there is none."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if answer:
            content: dict[str, Any] = json.loads(answer)
            return content
        code = self.process.wait()
        self.log.seek(0)
        print(self.log.read()[-4000:], file=sys.stderr)
        raise Missing(f"failed with exit status {code}: see above")

    def ask(self) -> dict[str, Any]:
        self.send()
        return self.receive()

    def close(self) -> None:
        """Let it end. One that does not is killed."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _environment(threads: int) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


Answers = list[dict[str, Any]]


def measure(
    sides: Mapping[str, Side], repeats: int, threads: int, *, together: bool = False
) -> dict[str, Answers | Missing]:
    """Ask every side `repeats` times, in turns, the order reversed each time. Some may be missing.

    One computes at a time; with `together`, they all load and warm up at once, which is quicker and takes
    the memory of all of them.
    """
    results: dict[str, Answers | Missing] = {}
    workers: dict[str, Worker] = {}

    def attempt(name: str, act: Callable[[], object]) -> None:
        if isinstance(results.setdefault(name, []), Missing):
            return
        try:
            act()
        except Missing as missing:
            results[name] = missing

    for name, side in sides.items():
        attempt(name, lambda name=name, side=side: workers.update({name: Worker(side, threads)}))
        if name in workers and not together:
            attempt(name, workers[name].receive)
    for name, worker in workers.items():
        if together:
            attempt(name, worker.receive)
    for repeat in range(repeats):
        for name in list(workers) if repeat % 2 == 0 else reversed(list(workers)):
            attempt(name, lambda name=name: results[name].append(workers[name].ask()))
    for worker in workers.values():
        worker.close()
    return results


def peer_version(environment: str, package: str) -> str:
    """The version of a package in an environment of the peers."""
    paths = [str(path) for path in ROOT.glob(f"{environment}/lib/python3*/site-packages")]
    found = [one.version for one in distributions(name=package, path=paths)] if paths else []
    return found[0] if found else "not installed"

"""Rewards that misbehave on answers whose text says how. All others get 1 if they are the gold answer."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dapo.types import Completion, Example, Score

HERE = str(Path.cwd())


def loop() -> None:
    while True:
        pass


def loop_in_c() -> None:
    """Hours in one multiplication-heavy call that never lets go of the interpreter."""
    pow(3, 1 << 34)


def crash() -> None:
    os._exit(3)


def segfault() -> None:
    ctypes.string_at(0)


def eat_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def print_gigabytes() -> float:
    line = "x" * (1 << 20)
    for _ in range(1024):
        print(line)
        print(line, file=sys.stderr)
    return 1.0


def fork_and_return() -> float:
    """The child comes back from here, too."""
    os.fork()
    return 1.0


def leave_a_child() -> float:
    if os.fork() == 0:
        time.sleep(600)
    return 1.0


def leave_a_child_and_crash() -> None:
    if os.fork() == 0:
        time.sleep(600)
    os._exit(3)


def change_surroundings() -> float:
    os.chdir("/")
    os.environ["SPOILT"] = "yes"
    return 1.0


def hog_the_interpreter() -> float:
    """Leaves a thread behind that lets nobody else run."""
    threading.Thread(target=loop_in_c, daemon=True).start()
    return 1.0


def hog_later() -> float:
    """Leaves a thread behind that will do so."""
    threading.Timer(0.1, loop_in_c).start()
    return 1.0


def slow() -> float:
    time.sleep(0.5)
    return 1.0


def close_everything() -> float:
    os.closerange(3, 256)
    return 1.0


def write_nonsense() -> float:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"nonsense\n")
    return 1.0


def raise_(error: BaseException) -> None:
    raise error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("and not even this")


class Sly:
    """Looks like an array, and raises when it is looked at."""

    def tolist(self) -> Any:
        raise KeyError("sly")


BEHAVIOURS: dict[str, Callable[[], Any]] = {
    "loop": loop,
    "loop in C": loop_in_c,
    "crash": crash,
    "segfault": segfault,
    "eat memory": eat_memory,
    "print": print_gigabytes,
    "nan": lambda: float("nan"),
    "string": lambda: "1",
    "none": lambda: None,
    "unpicklable": lambda: lambda: 1.0,
    "sly": Sly,
    "fork and return": fork_and_return,
    "leave a child": leave_a_child,
    "leave a child and crash": leave_a_child_and_crash,
    "change surroundings": change_surroundings,
    "hog": hog_the_interpreter,
    "hog later": hog_later,
    "slow": slow,
    "close everything": close_everything,
    "write nonsense": write_nonsense,
    "exit": lambda: sys.exit(1),
    "interrupt": lambda: raise_(KeyboardInterrupt()),
    "unprintable": lambda: raise_(Unprintable()),
    "long reason": lambda: raise_(ValueError("x" * 10**8)),
    "out of range": lambda: 7.0,
}


def judge(text: str, answer: str) -> Any:
    if text in BEHAVIOURS:
        return BEHAVIOURS[text]()
    assert (str(Path.cwd()), os.environ.get("SPOILT")) == (HERE, None)
    return float(text == answer)


def per_completion(completion: Completion, example: Example) -> Any:
    return judge(completion.text, example.answer)


def verl(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> dict[str, Any]:
    return {"score": judge(solution_str, ground_truth), "pred": solution_str or None}


def trl(completions: list[str], answer: list[str], **columns: Any) -> list[Any]:
    if "too few" in completions:
        return [1.0]
    return [judge(text, gold) for text, gold in zip(completions, answer, strict=True)]


def whole_group(completions: list[Completion], example: Example) -> list[Any]:
    return [judge(completion.text, example.answer) for completion in completions]


async def awaited(completion: Completion, example: Example) -> Any:
    """Waits until three run at once, where there are three."""
    if completion.text.startswith("together"):
        together.append(completion.text)
        while len(together) < 3:
            await asyncio.sleep(0.001)
        return 1.0
    if completion.text == "wait":
        await asyncio.sleep(600)
    await asyncio.sleep(0)
    return judge(completion.text, example.answer)


together: list[str] = []


def pid(completion: Completion, example: Example) -> Score:
    return Score(1.0, answer=str(os.getpid()))


def child(completion: Completion, example: Example) -> Score:
    """Starts a process of its own that outlives the answer."""
    process = subprocess.Popen(["sleep", "600"])
    return Score(1.0, answer=f"{os.getpid()} {process.pid}")


def rich(completion: Completion, example: Example) -> Score:
    return Score(0.25, reward=-3.5, answer=completion.text, parts={"length": -0.1})


def slow_pid(completion: Completion, example: Example) -> Score:
    time.sleep(0.1)
    return Score(1.0, answer=str(os.getpid()))


def modules(completion: Completion, example: Example) -> Score:
    return Score(1.0, answer=" ".join(sys.modules))


def fails_on_long(completion: Completion, example: Example) -> float:
    if len(completion.text) > 100:
        raise ValueError("too long")
    return 1.0


def wants_level(completions: list[str], level: list[str]) -> list[float]:
    return [1.0 for _ in completions]


@dataclass(frozen=True)
class Threshold:
    """A reward with a setting."""

    name: ClassVar[str] = "threshold"

    characters: int = 3

    def __call__(self, completion: Completion, example: Example) -> bool:
        return len(completion.text) >= self.characters


@dataclass(frozen=True)
class InProcess:
    """One that says it needs no protection."""

    isolated: ClassVar[bool] = False

    def __call__(self, completion: Completion, example: Example) -> Score:
        return Score(1.0, answer=str(os.getpid()))

"""A reward that can be learned in a few steps, and that does its worst on one answer in 50."""

from __future__ import annotations

import os
import sys
import time
import zlib
from typing import Any

from dapo.types import Completion, Example


def hang() -> None:
    time.sleep(600)


def crash() -> None:
    os._exit(1)


def hoard() -> None:
    taken = []
    while True:
        taken.append(bytearray(1 << 24))


def leave() -> None:
    sys.exit("enough")


def chatter() -> bool:
    for _ in range(100):
        print("x" * (1 << 20))
    return True


KINDS = (hang, crash, hoard, leave, chatter, lambda: float("nan"), lambda: "right", lambda: None)
CHATTER = KINDS.index(chatter)


def kind_of(text: str, example: str) -> int | None:
    """Which of KINDS strikes an answer; None for most."""
    number = zlib.crc32(f"{example} {text}".encode())
    return number // 50 % len(KINDS) if number % 50 == 0 else None


def starts_with_digit(completion: Completion, example: Example) -> Any:
    kind = kind_of(completion.text, example.id)
    return completion.text[:1].isdigit() if kind is None else KINDS[kind]()

"""Rewards for sums that judge right, but for one answer in 50, on which they do their worst."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dapo.rewards import number
from dapo.types import Completion, Example

JUDGE = number.Reward(require_marker=True)
EVERY = 50


def loop() -> None:
    while True:
        pass


def crash() -> None:
    os._exit(1)


def hoard() -> None:
    taken = []
    while True:
        taken.append(bytearray(1 << 24))


def chatter() -> None:
    """Two gibibytes, as bytes: to encode so much text would take seconds, which is another way to fail."""
    block = b"x" * (1 << 20)
    for _ in range(2048):
        sys.stdout.buffer.write(block)


def fail() -> None:
    raise ValueError("this answer is not to my liking")


WAYS: Mapping[str, Callable[[], Any]] = {
    "loops for ever": loop,
    "crashes the interpreter": crash,
    "eats memory": hoard,
    "prints gigabytes": chatter,
    "returns NaN": lambda: float("nan"),
    "returns a text": lambda: "right",
    "returns nothing": lambda: None,
    "raises": fail,
    "calls for the end": sys.exit,
}
"""What happens, by a name for tables."""

HARMLESS = "prints gigabytes"
"""After this the verdict is given all the same."""

TOO_FEW = "returns too few scores"
GROUP_WAYS = (*WAYS, TOO_FEW)


def way_of(text: str, key: str, ways: Sequence[str]) -> str | None:
    """Which of the ways strikes an answer; None for most. It depends on the text and a key alone."""
    number = zlib.crc32(f"{key} {text}".encode("utf-8", "backslashreplace"))
    return ways[number // EVERY % len(ways)] if number % EVERY == 0 else None


def per_answer(completion: Completion, example: Example) -> Any:
    """A reward with this package's signature."""
    way = way_of(completion.text, example.answer, tuple(WAYS))
    outcome = None if way is None else WAYS[way]()
    return JUDGE(completion, example).score if way in (None, HARMLESS) else outcome


def per_group(completions: list[str], answer: list[str], **columns: Any) -> Any:
    """A reward with TRL's signature. What strikes one answer strikes all that are graded with it."""
    scores: list[Any] = []
    few = False
    for text, gold in zip(completions, answer, strict=True):
        way = way_of(text, gold, GROUP_WAYS)
        few = few or way == TOO_FEW
        outcome = WAYS[way]() if way in WAYS else None
        right = JUDGE(_completion(text), Example("", [], gold)).score
        scores.append(outcome if way in WAYS and way != HARMLESS else right)
    return scores[:-1] if few else scores


def _completion(text: str) -> Completion:
    return Completion([], [], [], [], "eos", text)

"""An example that a reward is tried on, and the texts it is tried with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dapo.grading.probes.golds import Golds
from dapo.types import Example
from dapo.verify.golds import golds
from dapo.verify.numbers import find_numbers

Wanted = Literal["right", "wrong", "open"]
"""What a reward has to say: right, wrong, or whatever it is meant to. A strict reward refuses by design what
a tolerant one accepts, so that for the last there is a share and no failure."""

_LOOKED_AT = 50
"""Examples that are looked through for one with another answer."""


@dataclass(frozen=True)
class Probe:
    """A completion to try a reward with."""

    name: str
    """What it is, in a few words: the same for all examples."""
    text: str


@dataclass(frozen=True)
class Case:
    """An example with all that its probes are made from."""

    example: Example
    gold: str
    """Its gold completion."""
    golds: Golds
    other: Example | None
    """Another example with another answer, where there is one."""
    trap: Path
    """An empty folder. A file in it says that code in an answer was executed."""

    @property
    def answer(self) -> str:
        return self.example.answer

    def stating(self, answer: str) -> str | None:
        """The gold completion with another answer in its place, where that can be had."""
        return self.golds.with_answer(self.example, answer)


@dataclass(frozen=True)
class Kind:
    """Probes of one sort."""

    name: str
    wanted: Wanted
    probes: Callable[[Case], Iterable[Probe]]
    most: int | None = None
    """Examples they are made of at most: such as take long, and hardly differ from one to the next."""


def other_than(example: Example, others: Sequence[Example], writer: Golds) -> Example | None:
    """The first of `others` whose answer is another one, best of all one without a word in common."""
    gold = writer.text(example)
    known = [other for other in others[:_LOOKED_AT] if writer.text(other) not in (None, gold)]
    answers = _answers(example)
    words = {word for answer in answers for word in _words(answer)}
    different = [other for other in known if not any(_same(other.answer, answer) for answer in answers)]
    unlike = (other for other in different if words.isdisjoint(_words(other.answer)))
    return next(unlike, next(iter(different or known), None))


def _answers(example: Example) -> list[str]:
    try:
        return [example.answer, *golds(example, None)]
    except ValueError:  # The column of that name holds something else.
        return [example.answer]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _same(one: str, other: str) -> bool:
    numbers = find_numbers(one)
    return _words(one) == _words(other) or (len(numbers) == 1 and numbers == find_numbers(other))

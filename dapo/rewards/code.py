"""Runs the code of a completion against the tests of its example, in a sandbox."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.code_tests import Asserts, CodeTests, read_tests
from dapo.verify.run_tests import Runner
from dapo.verify.sandbox import Limits, SandboxError, Walls, walls_here

_PYTHON = ("python", "py")
_BY_STRENGTH: tuple[Walls, ...] = ("none", "filter", "namespaces")


@dataclass(frozen=True)
class Reward:
    """1 if the code passes all tests, else 0; or the share it passes.

    The code is the text of the last block fenced as Python, after the last `</think>`; a block that is never
    closed counts. `Score.answer` is the code, None where there is none. Which forms the tests may have is
    written in `dapo.verify.code_tests`, what keeps the code in its place in `dapo.verify.sandbox`.

    Raises ValueError if the example's tests cannot be read.
    """

    name: ClassVar[str] = "code"

    tests_column: str | None = None
    """The column that holds the tests. None: they are the example's answer."""
    score: Literal["all", "share"] = "all"
    """`share`: the share of the cases passed, instead of 1 only if all are."""
    block: Literal["last", "first", "yuan"] = "last"
    """Which of several blocks. `yuan`, as Yuan3.0: the first for tests that assert, the last for others."""
    tolerance: float = 0.0
    """How far numbers in outputs and returned values may be off, relative or absolute."""
    packages: bool = False
    """The code may import what is installed beside this package, such as numpy."""
    parallel: int = 2
    """Programs of one answer that run at once."""
    least_walls: Walls = "none"
    """Refuse to run code on a system that cannot have at least these walls around it."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), not {self.tolerance}")
        if not 1 <= self.parallel <= 64:
            raise ValueError(f"parallel must lie between 1 and 64, not {self.parallel}")
        if _BY_STRENGTH.index(self.least_walls) > 0:
            found = walls_here()
            if _BY_STRENGTH.index(found) < _BY_STRENGTH.index(self.least_walls):
                raise ValueError(
                    f"least_walls: this system allows {found!r}, not {self.least_walls!r}; allow user "
                    f"namespaces, or lower least_walls to {found!r}"
                )

    def __call__(self, completion: Completion, example: Example) -> Score:
        tests = self._tests(example)
        code = find_code(completion.text, self._block(tests))
        if code is None:
            return Score(score=0.0)
        _warn_of_missing_walls()
        runner = Runner(self.limits, self.packages, self.tolerance, self.parallel, self.score == "all")
        try:
            return Score(score=runner.share(code, tests), answer=code)
        except SandboxError as error:
            return Score(score=0.0, answer=code, error=str(error))

    def _block(self, tests: CodeTests) -> Literal["last", "first"]:
        if self.block != "yuan":
            return self.block
        return "first" if isinstance(tests, Asserts) else "last"

    def _tests(self, example: Example) -> CodeTests:
        given: Any = example.answer
        if self.tests_column is not None:
            if self.tests_column not in example.columns:
                raise ValueError(
                    f"example {example.id} has no column {self.tests_column!r}; set tests_column"
                )
            given = example.columns[self.tests_column]
        try:
            return read_tests(given, example.columns)
        except ValueError as error:
            raise ValueError(f"example {example.id}: {error}") from error


def find_code(text: str, block: Literal["last", "first"]) -> str | None:
    """The code in a block fenced as Python, after the last `</think>`; None if there is none."""
    blocks: list[list[str]] = []
    inside: list[str] | None = None
    for line in text.rpartition("</think>")[2].split("\n"):
        fence = line.strip()
        if inside is None and fence.startswith("```"):
            inside = []
            if fence[3:].strip().lower().startswith(_PYTHON):
                blocks.append(inside)
        elif inside is not None and fence == "```":
            inside = None
        elif inside is not None:
            inside.append(line)
    codes = [code for lines in blocks if (code := "\n".join(lines)).strip()]
    if not codes:
        return None
    return codes[-1 if block == "last" else 0]


@functools.cache
def _warn_of_missing_walls() -> None:
    walls = walls_here()
    if walls == "filter":
        warnings.warn(
            "code runs without network and cannot outlive its tests, but it can read the files that this "
            "user can read: the system allows no user namespaces",
            stacklevel=2,
        )
    elif walls == "none":
        warnings.warn(
            "code runs under limits only: it can reach the network and the files of this user; run on Linux, "
            "or in a container without either",
            stacklevel=2,
        )

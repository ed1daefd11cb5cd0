"""Runs the tests of a programming task on code that a model wrote."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dapo.verify.asserts import Assertions, take_apart
from dapo.verify.code_tests import Asserts, Calls, CodeTests, Programs
from dapo.verify.sandbox import Limits, run
from dapo.verify.values import decode, same, same_output


@dataclass(frozen=True)
class Runner:
    """How tests are run."""

    limits: Limits
    packages: bool
    tolerance: float
    parallel: int
    """Programs run at once."""
    to_the_first_failure: bool
    """Stop there, where the share of tests passed is not asked for."""

    def share(self, code: str, tests: CodeTests) -> float:
        """The share of the cases that `code` passes; for a failure 0, where that is all that counts.

        Raises:
            SandboxError: if the code could not be run.
        """
        match tests:
            case Programs(cases):
                passed = self._programs(code, cases)
            case Calls():
                places = list(range(len(tests.cases)))
                passed = self._together(
                    code, places, lambda left: (_calls(tests, left, self.tolerance), left)
                )
            case Asserts(cases):
                passed = self._asserts(code, cases)
        if self.to_the_first_failure and not all(passed):
            return 0.0
        return sum(passed) / len(passed)

    def _programs(self, code: str, cases: Sequence[tuple[str, str]]) -> list[bool]:
        """Each in a process of its own, some at a time."""
        deadline = time.monotonic() + self.limits.total_seconds
        stop = threading.Event()

        def judge(case: tuple[str, str]) -> bool:
            if stop.is_set() or time.monotonic() > deadline:
                return False
            outcome = run(code, stdin=case[0], limits=self.limits, packages=self.packages)
            output = outcome.output.decode("utf-8", "replace")
            well = outcome.ended == "exit" and outcome.code == 0
            passed = well and same_output(output, case[1], self.tolerance)
            if self.to_the_first_failure and not passed:
                stop.set()
            return passed

        with ThreadPoolExecutor(self.parallel, "dapo-code") as pool:
            return list(pool.map(judge, cases))

    def _asserts(self, code: str, cases: Sequence[str]) -> list[bool]:
        """Cases that assert nothing prepare others: they run again after a restart, and do not count."""
        setup = [place for place, case in enumerate(cases) if "assert" not in case]
        counted = [place for place in range(len(cases)) if place not in setup]

        def prepare(left: list[int]) -> tuple[Assertions, list[int]]:
            chosen = sorted({*left, *setup})
            return take_apart([cases[place] for place in chosen]), chosen

        return self._together(code, counted or setup, prepare)

    def _together(
        self, code: str, counted: list[int], prepare: Callable[[list[int]], tuple[Assertions, list[int]]]
    ) -> list[bool]:
        """All in one process. If it ends early, the cases that had not begun go on in another one."""
        deadline = time.monotonic() + self.limits.total_seconds
        verdicts = dict.fromkeys(counted, False)
        left = counted
        while left and (seconds := deadline - time.monotonic()) > 0:
            tests, chosen = prepare(left)
            limits = replace(self.limits, total_seconds=seconds)
            outcome = run(code, tests=tests.source, limits=limits, packages=self.packages)
            passed = dict(zip(chosen, tests.passed(outcome.notes), strict=True))
            verdicts.update((place, passed[place]) for place in left)
            begun = [chosen[note[1]] for note in outcome.notes if note[0] == "begin"]
            if self.to_the_first_failure or not begun:
                break
            left = [place for place in left if place > max(begun)]
        return list(verdicts.values())


def _calls(tests: Calls, left: Sequence[int], tolerance: float) -> Assertions:
    """The tests of a function, or of the method of that name of a class `Solution`."""
    name = tests.function
    found = Assertions(cases=len(left))
    lines = []
    for number, place in enumerate(left):
        arguments, wanted = tests.cases[place]
        target = f"(Solution().{name} if 'Solution' in globals() else {name})"
        call = f"_dapo_value({number}, lambda: {target}(*{list(arguments)!r}))"
        lines.append(f"with _dapo_case({number}):\n    {call}")
        found.judges.append(partial(_returned, wanted, tolerance))
    found.source = "\n".join(["inf, nan = float('inf'), float('nan')", *lines])
    return found


def _returned(wanted: Any, tolerance: float, values: Sequence[Any]) -> bool:
    """Published outputs may be the value itself, a list that holds it, or its text in JSON."""
    value = decode(values[0])
    readings = [wanted]
    if isinstance(wanted, list) and len(wanted) == 1:
        readings.append(wanted[0])
    if isinstance(wanted, str):
        with contextlib.suppress(ValueError):
            readings.append(json.loads(wanted))
    return any(same(value, reading, tolerance) for reading in readings)

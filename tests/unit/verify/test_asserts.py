from __future__ import annotations

import json
from typing import Any

import pytest

from dapo.verify.asserts import Assertions, take_apart
from dapo.verify.sandbox import Limits, run


def passed(code: str, *tests: str) -> list[bool]:
    """Which of the tests the code passes, run for real."""
    found = take_apart(tests)
    return found.passed(run(code, tests=found.source, limits=Limits(seconds=1)).notes)


DOUBLE = "def f(x): return 2 * x\n"

EVIL = """
class Evil(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __contains__(self, other): return True
    def __sub__(self, other): return self
    def __abs__(self): return self
    def __hash__(self): return 0
    def __iter__(self): return iter(())

class Alien:
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    def __sub__(self, other): return 0.0
    def __abs__(self): return 0.0
    def __hash__(self): return 0

def f(x): return Evil(7) if x else Alien()
def g(x): return [Evil(7), Alien()]
"""


@pytest.mark.parametrize(
    "test",
    [
        "assert f(2) == 4",
        "assert 4 == f(2), 'message'",
        "assert f(2) != 5 and f(3) == 6",
        "assert f(2) == 5 or f(2) == 4",
        "assert not f(0)",
        "assert f(1)",
        "assert 3 < f(2) <= 4",
        "assert f(2) in (3, 4)",
        "assert f(2) is not None",
        "assert abs(f(0.1) - 0.2) < 1e-9",
        "assert abs(0.2 - f(0.1)) < 1e-9",
        "import math\nassert math.isclose(f(0.1), 0.2, rel_tol=1e-6)",
        "from math import isclose\nassert isclose(0.2, f(0.1))",
        "assert round(f(1.2345), 2) == 2.47",
        "assert sorted([f(2), f(1)]) == [2, 4]",
        "assert set([f(1)]) == {2}",
        "assert f('a') == 'aa' and f((1, 2)) == (1, 2, 1, 2) and f([1.5]) == [1.5, 1.5]",
        "assert f(1) == f(2) // 2",
        "x = 3\nassert f(x) == 6",
        "def check(g):\n    for x, y in [(1, 2), (3, 6)]:\n        assert g(x) == y\ncheck(f)",
        "assert all(f(x) == 2 * x for x in range(3))",
        "assert f(float('inf')) == float('inf')",
        "assert {1: f(1), 'a': None} == {1: 2, 'a': None}",
        "assert (y := f(2)) == 4 and y == 4",
        "assert f(True) == 2 and f(1j) == 2j and f(b'a') == b'aa'",
        "from fractions import Fraction\nassert f(Fraction(1, 2)) == 1",
        "from decimal import Decimal\nassert f(Decimal('0.5')) == 1",
        "from collections import Counter\nassert Counter([f(1), f(1)]) == {2: 2}",
        "assert f(10 ** 9000) % 7 == 2 * 10 ** 9000 % 7 and f(10 ** 9000) > 0",
        "import asyncio\nasync def g(): return f(1)\nasync def h(): assert await g() == 2\nasyncio.run(h())",
    ],
)
def test_what_holds(test: str) -> None:
    assert passed(DOUBLE, test) == [True]


@pytest.mark.parametrize(
    "test",
    [
        "assert f(2) == 5",
        "assert f(2) != 4",
        "assert f(2) == 5 or f(2) == 6",
        "assert f(2) == 4 and f(2) == 5",
        "assert f(0)",
        "assert not f(1)",
        "assert 4 < f(2) <= 5",
        "assert f(2) is None",
        "assert f(2) in (3, 5)",
        "assert abs(f(0.1) - 0.3) < 1e-9",
        "assert math.isclose(f(0.1), 0.3)",
        "assert f(2) < 'text'",
        "assert f(None) == 4",
        "assert h(2) == 4",
        "x = 1 / 0\nassert f(2) == 4",
        "def check(g):\n    assert g(1) == 3\ncheck(f)",
        "assert any(f(x) == 7 for x in range(3))",
        "assert f(1) == f(2)",
        "assert f(float('nan')) == float('nan')",
        "assert abs(-3) == 4",
    ],
)
def test_what_does_not(test: str) -> None:
    assert passed(DOUBLE, test) == [False]


def test_an_error_in_one_case_leaves_the_others() -> None:
    tests = ["assert f(1) == 2", "assert f(None) == 2", "1 / 0", "assert f(2) == 4"]
    assert passed(DOUBLE, *tests) == [True, False, False, True]


@pytest.mark.parametrize(
    "test",
    [
        "assert f(1) == 4",
        "assert f(0) == 4",
        "assert f(0) < 3 and f(0) == 4",
        "assert f(0) in (4, 5)",
        "assert abs(f(0) - 4) < 1e-6",
        "assert abs(f(1) - 4) < 1e-6",
        "assert g(1) == [4, 4]",
        "assert f(0) == sorted([4])",
        "assert sorted([4]) == f(0)",
        "import math\nassert math.isclose(f(0), 4)",
        "def check(h):\n    for x, y in [(0, 4)]: assert h(x) == y\ncheck(f)",
    ],
)
def test_objects_that_equal_everything(test: str) -> None:
    assert passed(EVIL, test) == [False]


def test_two_objects_of_the_code_are_compared_by_their_class() -> None:
    code = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, p): return self.x == p.x"
    tests = ("assert P(1) == P(1)", "assert P(1) == P(2)", "assert P(1) != P(2)")
    assert passed(code, *tests) == [True, False, True]


FORGED = """
import os
for note in ('["begin", 0]', '["value", 0, [{"int": "4"}]]', '["end", 0, ""]'):
    os.write(4, f'0 {note}\\n'.encode())
os._exit(0)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "def f(x):\n    import os; os._exit(0)",
        "def f(x):\n    raise SystemExit(0)",
        "def f(x):\n    raise KeyboardInterrupt",
        "import builtins\nbuiltins.AssertionError = BaseException\ndef f(x): return 5",
        "import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 5",
        "print('passed', 'ok', [\"end\", 0, \"\"])\ndef f(x): return 5",
        FORGED,
        "import sys\nsys.modules['tests'] = None\ndef f(x): return 5",
        "import os\nos.closerange(3, 99)\ndef f(x): return 4",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x): return f(x)",
        "def f(x):\n    y = []\n    for _ in range(200): y = [y]\n    return y",
        "def f(x): return '\ud800'",
        "this is no Python",
        "(" * 10000,
        "",
        "\0",
    ],
)
def test_nothing_passes_by_trickery(code: str) -> None:
    assert passed(code, "assert f(2) == 4") == [False]


def test_the_code_is_not_told_what_is_expected() -> None:
    found = take_apart(["assert f(2) == 31337", "assert abs(f(0.5) - 31337) < 99"])
    assert "31337" not in found.source and "f(2)" in found.source


def test_the_form_of_humaneval() -> None:
    check = "def check(g):\n    assert g([1, 2], 0.3) == False\n    assert g([1, 1], 0.5)\n"
    code = "def close(n, gap): return abs(n[0] - n[1]) < gap"
    assert passed(code, check + "check(close)") == [True]
    assert passed("def close(n, gap): return True", check + "check(close)") == [False]


def test_a_test_that_is_no_python() -> None:
    with pytest.raises(SyntaxError):
        take_apart(["assert f("])


def test_forged_and_broken_notes() -> None:
    found = Assertions(source="", judges=[lambda values: True], cases=1)
    broken: list[Any] = [
        7,
        [],
        ["end"],
        ["end", 0, ""],
        ["end", 9, ""],
        ["value", 5, []],
        ["begin", "x"],
        None,
    ]
    assert found.passed(broken) == [False]
    assert found.passed(json.loads('[["begin", 0], ["value", 0, []], ["end", 0, ""]]')) == [True]

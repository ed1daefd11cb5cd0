from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dapo.rewards.code import Reward, find_code
from dapo.types import Completion, Example, Score
from dapo.verify import sandbox
from dapo.verify.sandbox import Limits, SandboxError

QUICK = Limits(seconds=1, total_seconds=10)
SUM = "a, b = map(int, input().split())\nprint(a + b)"
SUMS = {"inputs": ["1 2\n", "3 4", "-1 1\n"], "outputs": ["3\n", "7", "0 \n\n"]}
ASSERTS = ["assert f(1) == 2", "assert f(2) == 4", "assert f(3) == 6", "assert f(4) == 8"]


def judge(code: str, tests: Any, reward: Reward | None = None, **columns: Any) -> Score:
    text = f"I think so.\n```python\n{code}\n```\nDone."
    answer = tests if isinstance(tests, str) else json.dumps(tests)
    return (reward or Reward())(
        Completion([], [], [], [], "eos", text), Example("row-7", [], answer, columns)
    )


@pytest.mark.parametrize(
    "tests",
    [
        ASSERTS,
        str(ASSERTS),  # Yuan3.0 writes lists as Python does.
        "assert f(1) == 2\nassert f(2) == 4",
        {"test_list": ASSERTS, "test_imports": ["import math"]},
        {"assert_case": ASSERTS},
        {"test": "def check(candidate):\n    assert candidate(3) == 6\n", "entry_point": "f"},
        {"inputs": [[1], [2]], "outputs": [2, [4]], "fn_name": "f"},
        {"inputs": ["1", "2\n"], "outputs": ["2", "4"], "fn_name": "f"},
    ],
)
def test_forms_of_tests_of_a_function(tests: Any) -> None:
    assert judge("def f(x): return 2 * x", tests).score == 1.0
    assert judge("def f(x): return 2 + x", tests).score == 0.0


def test_forms_of_tests_of_a_program() -> None:
    pairs = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
    for tests in (SUMS, pairs, {"inputs": [["1 2", "3"]], "outputs": [["3"]]}):
        assert judge(SUM, tests).score == 1.0
        assert judge(SUM.replace("+", "*"), tests).score == 0.0


def test_a_method_of_a_class_as_livecodebench_names_it() -> None:
    tests = [{"input": "[1, 2]\n3", "output": "[4, 5]", "testtype": "functional"}]
    code = "class Solution:\n    def add(self, numbers, more): return tuple(n + more for n in numbers)"
    assert judge(code, tests, metadata=json.dumps({"func_name": "add"})).score == 1.0
    with pytest.raises(ValueError, match="row-7: the tests call a function, but none is named; give fn_name"):
        judge(code, tests)


def test_texts_that_a_function_returns() -> None:
    tests = {"inputs": [["ab"], ["12"]], "outputs": ["ba", "21"], "fn_name": "turn"}
    assert judge("def turn(s): return s[::-1]", tests).score == 1.0
    assert judge("def turn(s): return s", tests).score == 0.0


def test_the_tests_may_stand_in_a_column() -> None:
    reward = Reward(tests_column="cases")
    assert judge("def f(x): return 2 * x", "the gold", reward, cases=ASSERTS).score == 1.0
    with pytest.raises(ValueError, match="row-7 has no column 'cases'"):
        judge("", "the gold", reward)


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("42", "there are no tests"),
        ([], "there are no tests"),
        ({"inputs": ["1"], "outputs": []}, "1 inputs and 0 outputs"),
        ({"in": 1}, "no known form"),
        ([1, 2], "no known form"),
        ({"inputs": [[1]], "outputs": [1], "fn_name": "f(); import os"}, "name of a function"),
        ({"inputs": ["one"], "outputs": [1], "fn_name": "f"}, "'one' are not JSON"),
        (["assert f("], "row-7: .*no Python"),
    ],
)
def test_tests_that_cannot_be_read(tests: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge("def f(x): return x", tests)


def test_the_share_of_cases() -> None:
    share = Reward(score="share", limits=QUICK)
    assert judge("def f(x): return 2 * x if x < 4 else 0", ASSERTS, share).score == 0.75
    assert judge("def f(x): return 2 * x if x < 4 else 0", ASSERTS).score == 0.0
    assert (
        judge("print(input()[0])\nprint()", {"inputs": ["1", "22"], "outputs": ["1", "22"]}, share).score
        == 0.5
    )


@pytest.mark.parametrize(
    "end", ["while True: pass", "import os; os._exit(0)", "import ctypes; ctypes.string_at(0)"]
)
def test_a_case_that_ends_the_process_leaves_the_others(end: str) -> None:
    code = f"def f(x):\n    if x == 2:\n        {end}\n    return 2 * x"
    assert (
        judge(code, ["y = 3", *ASSERTS, "assert f(y) == 6"], Reward(score="share", limits=QUICK)).score == 0.8
    )


def test_cases_that_prepare_others() -> None:
    assert judge("def f(x): return 2 * x", ["x = 5", "assert f(x) == 10"]).score == 1.0


def test_the_first_failure_ends_it() -> None:
    tests = {"inputs": ["x"] * 20, "outputs": ["y"] * 20}
    start = time.monotonic()
    assert judge("while True: pass", tests, Reward(limits=QUICK)).score == 0.0
    assert time.monotonic() - start < 6  # Not twenty times the second that each may take.


def test_the_time_for_all_cases_is_limited() -> None:
    tests = {"inputs": ["x"] * 20, "outputs": ["y"] * 20}
    limits = Limits(seconds=0.5, total_seconds=1)
    start = time.monotonic()
    assert judge("while True: pass", tests, Reward(score="share", parallel=4, limits=limits)).score == 0.0
    assert time.monotonic() - start < 6


def test_a_program_must_end_well() -> None:
    assert judge(SUM + "\nraise ValueError", SUMS).score == 0.0
    assert judge(SUM + "\nexit()", SUMS).score == 1.0


def test_numbers_may_be_off_by_the_tolerance() -> None:
    tests = {"inputs": [""], "outputs": ["0.3333 a\n"]}
    code = "print(1 / 3, 'a')"
    assert judge(code, tests).score == 0.0
    assert judge(code, tests, Reward(tolerance=1e-3)).score == 1.0
    assert judge("print(1 / 3, 'b')", tests, Reward(tolerance=1e-3)).score == 0.0
    assert judge("print('nan', 'a')", tests, Reward(tolerance=1e-3)).score == 0.0
    call = {"inputs": [[1]], "outputs": [[0.3333]], "fn_name": "f"}
    assert judge("def f(x): return x / 3", call, Reward(tolerance=1e-3)).score == 1.0


def test_fullwidth_commas_and_prompts_stay_as_written() -> None:
    code = "a = input()\nprint(a + '\N{FULLWIDTH COMMA}input()')"
    assert judge(code, {"inputs": ["x"], "outputs": ["x\N{FULLWIDTH COMMA}input()"]}).score == 1.0


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        ("```python\na\n```\nor\n```python\nb\n```", "b", "a"),
        ("```py\na\n```", "a", "a"),
        ("```Python3\na\n```", "a", "a"),
        ("```python title=x\na\n```", "a", "a"),
        ("   ```python\n   a\n   ```", "   a", "   a"),
        ("```python\na", "a", "a"),
        ("```\na\n```", None, None),
        ("```bash\na\n```\n```python\nb\n```", "b", "b"),
        ("```python\na\n```\n```\n1\n```", "a", "a"),
        ("```python\na\n```\n```python\n\n```", "a", "a"),
        ("<think>\n```python\na\n```\n</think>no", None, None),
        ("<think>\n```python\na\n</think>\n```python\nb\n```", "b", "b"),
        ("x = 1", None, None),
        ("", None, None),
    ],
)
def test_the_code_in_a_completion(text: str, last: str | None, first: str | None) -> None:
    assert find_code(text, "last") == last
    assert find_code(text, "first") == first


@pytest.mark.parametrize(
    "text", ["```" * 100_000, "`" * 300_000, "```" + "a" * 200_000 + "`", " \n" * 100_000]
)
def test_strange_texts_are_read_in_no_time(text: str) -> None:
    start = time.monotonic()
    find_code(text, "last")
    assert time.monotonic() - start < 1


def test_no_code_is_no_answer() -> None:
    completion = Completion([], [], [], [], "eos", "it is 4")
    assert Reward()(completion, Example("1", [], ASSERTS[0])) == Score(score=0.0)


def test_a_broken_sandbox_is_an_error_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.walls_here()

    def broken(*_: object) -> None:
        raise SandboxError("no room")

    monkeypatch.setattr(sandbox, "_ask", broken)
    assert judge("def f(x): return 2 * x", ASSERTS).error == "no room"


@pytest.mark.parametrize("settings", [{"tolerance": 1}, {"tolerance": -1}, {"parallel": 0}])
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Reward(**settings)


def test_least_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dapo.rewards.code.walls_here", lambda: "filter")
    assert Reward(least_walls="filter")
    with pytest.raises(ValueError, match="allows 'filter', not 'namespaces'"):
        Reward(least_walls="namespaces")


@pytest.mark.parametrize(("tests", "right"), [(["assert f() == 1"], "first"), (SUMS, "last")])
def test_yuan_reads_the_first_block_for_asserts_and_the_last_for_programs(tests: Any, right: str) -> None:
    good = SUM if isinstance(tests, dict) else "def f(): return 1"
    blocks = [good, "pass"] if right == "first" else ["pass", good]
    text = "\n".join(f"```python\n{block}\n```" for block in blocks)
    example = Example("row-7", [], json.dumps(tests))
    given = Completion([], [], [], [], "eos", text)
    assert Reward(block="yuan", limits=QUICK)(given, example).score == 1.0
    assert Reward(block="last" if right == "first" else "first", limits=QUICK)(given, example).score == 0.0

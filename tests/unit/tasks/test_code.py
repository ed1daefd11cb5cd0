"""Rows with tests in the layouts they are published in; their solutions are run for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.recipe.resolve import task_from
from dapo.tasks.code import Task
from dapo.types import Completion, Example

ADD = "def add(a, b):\n    return a + b\n"
SUM = "a, b = map(int, input().split())\nprint(a + b)"

MBPP = {
    "task_id": 1,
    "text": "Write a function to add two numbers.",
    "code": ADD,
    "test_list": ["assert add(1, 2) == three", "assert add(0, 0) == 0", "assert add(-1, 1) == 0"],
    "test_setup_code": "three = 3",
    "challenge_test_list": [],
}
SANITIZED = {
    "prompt": "Write a function to add two numbers.",
    "code": ADD,
    "test_imports": ["import math"],
    "test_list": ["assert add(1, 2) == math.gcd(3, 6)", "assert add(0, 0) == 0"],
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def add(a, b):\n    """The sum."""\n',
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "entry_point": "add",
}
APPS = {
    "question": "Read two numbers and print their sum.",
    "solutions": json.dumps([SUM, "pass"]),
    "input_output": json.dumps({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}),
    "starter_code": "",
}
APPS_CALL = {
    "question": "Add.",
    "solutions": json.dumps([ADD]),
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}),
    "starter_code": "def add(a, b):\n\t",
}
LIVECODEBENCH = {
    "question_content": "Add.",
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "add"}),
    "solution": "class Solution:\n    def add(self, a, b):\n        return a + b",
}
PRIME = {
    "data_source": "taco",
    "prompt": [{"role": "system", "content": "You code."}, {"role": "user", "content": "Sum of two numbers"}],
    "reward_model": {"style": "rule", "ground_truth": json.dumps({"inputs": ["1 2"], "outputs": ["3"]})},
    "solution": SUM,
}
OWN = {"problem": "Add two numbers.", "tests": ["assert add(1, 2) == 3"], "solution": ADD}
YUAN = {**OWN, "tests": json.dumps(OWN["tests"])}

LAYOUTS = {
    "mbpp": MBPP,
    "sanitized": SANITIZED,
    "humaneval": HUMANEVAL,
    "apps": APPS,
    "apps call": APPS_CALL,
    "livecodebench": LIVECODEBENCH,
    "prime": PRIME,
    "own": OWN,
    "yuan": YUAN,
}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def examples(tmp_path: Path, *rows: dict[str, Any], **settings: Any) -> list[Example]:
    return Task(path=write(tmp_path / "rows.jsonl", *rows), **settings).train()


def asked(example: Example) -> str:
    return str(example.messages[-1]["content"])


def graded(text: str, example: Example) -> float:
    return Task().reward(Completion([], [], [], [], "eos", text), example).score


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_the_solution_of_a_row_passes_its_tests_and_others_do_not(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    [example] = examples(tmp_path, row)
    gold = Task().gold_completion(example)
    assert gold.startswith("```python\n") and graded(gold, example) == 1.0
    assert graded(gold.replace("a + b", "a - b"), example) == 0.0
    assert graded(gold.strip("`python"), example) == 0.0  # Not in a block.


def test_the_problem_is_asked_with_its_first_tests_and_how_to_answer(tmp_path: Path) -> None:
    [example] = examples(tmp_path, MBPP, show_tests=2)
    assert asked(example) == (
        "Write a function to add two numbers.\n\nIt has to pass these tests:\n```python\n"
        "assert add(1, 2) == three\nassert add(0, 0) == 0\n```\n\nWrite the solution in Python. Put all of "
        "it into one block that begins with ```python and ends with ```."
    )
    [hidden] = examples(tmp_path, MBPP, show_tests=0, prompt_template="{problem}!")
    assert asked(hidden) == "Write a function to add two numbers.!"
    [named] = examples(tmp_path, YUAN)
    assert "```python\nassert add(1, 2) == 3\n```" in asked(named)


def test_hidden_tests_stay_hidden_and_code_to_begin_with_is_shown(tmp_path: Path) -> None:
    apps, call, humaneval = examples(tmp_path, APPS, APPS_CALL, HUMANEVAL)
    assert asked(apps).startswith("Read two numbers and print their sum.\n\nWrite the solution")
    assert "Begin with this code:\n```python\ndef add(a, b):\n```" in asked(call)
    assert "assert" not in asked(humaneval) and asked(humaneval).startswith("def add(a, b):")


def test_messages_are_asked_as_they_stand(tmp_path: Path) -> None:
    [example] = examples(tmp_path, PRIME)
    assert example.messages == PRIME["prompt"]
    assert example.columns["data_source"] == "taco" and "reward_model" not in example.columns


def test_columns_of_one_s_own(tmp_path: Path) -> None:
    row = {"task": {"words": "Add."}, "checks": OWN["tests"], "answers": [ADD]}
    [example] = examples(tmp_path, row, problem="task.words", tests="checks", solution="answers")
    assert asked(example).startswith("Add.\n\nIt has to pass")
    assert graded(Task().gold_completion(example), example) == 1.0
    with pytest.raises(UserError, match=r"rows.jsonl, row 1: no columns of a known kind .*task, checks"):
        examples(tmp_path, row)


def test_rows_without_tests_are_an_error_or_left_out(tmp_path: Path) -> None:
    broken = [{**APPS, "input_output": ""}, {**APPS, "input_output": "{'inputs': ["}, {**OWN, "tests": None}]
    for row in broken:
        with pytest.raises(UserError, match=r"row 2: there are no tests; .*skip_untested: true"):
            examples(tmp_path, MBPP, row)
    assert len(examples(tmp_path, MBPP, *broken, OWN, skip_untested=True)) == 2


def test_a_row_without_a_solution_has_no_gold(tmp_path: Path) -> None:
    [example] = examples(tmp_path, {**OWN, "solution": None})
    with pytest.raises(UserError, match="has tests but no program that passes them"):
        Task().gold_completion(example)


def test_what_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**OWN, "problem": f"Problem {number}"} for number in range(8)]
    train, other = write(tmp_path / "a.jsonl", *rows), write(tmp_path / "b.jsonl", OWN)
    assert Task(path=train).eval() == []
    assert len(Task(path=train, eval_path=other).eval()) == 1
    part = Task(path=train, eval_fraction=0.25)
    assert (len(part.train()), len(part.eval())) == (6, 2)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "hub/mbpp/train.jsonl", MBPP, {**MBPP, "text": "Another"})
    write(tmp_path / "hub/mbpp/test.jsonl", MBPP)
    hub = Task(name=str(tmp_path / "hub/mbpp"), subset=None)
    assert (len(hub.train()), len(hub.eval())) == (2, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_fraction": 1.0}, "eval_fraction must lie between 0 and 1"),
        ({"eval_path": "x", "eval_fraction": 0.1}, "exclude each other"),
        ({"prompt_template": "Solve it"}, r"prompt_template must hold \{problem\}"),
        ({"show_tests": -1}, "show_tests must be at least 0"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_from({"task": "code", **settings}, "data.train")

"""The tests that come with a programming task, in the forms they are published in.

- Asserts: Python, or a list of it, an entry per case (MBPP, Yuan3.0); `{"assert_case": [...]}` (verl);
  `{"test_list": [...], "test_imports": [...]}` (MBPP); `{"test": ..., "entry_point": ...}` (HumanEval).
- Programs: `{"inputs": [...], "outputs": [...]}`, texts for standard input and from standard output (APPS,
  PRIME, verl); a list of `{"input": ..., "output": ...}` (LiveCodeBench).
- Calls: either of the last two with `fn_name`, or with `func_name` under `metadata`; an input is a list of
  arguments, or a text with an argument in JSON on each line.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMS = (
    "a list of assert statements, {'inputs': [...], 'outputs': [...]} with or without 'fn_name', "
    "or a list of {'input': ..., 'output': ...}"
)


@dataclass(frozen=True)
class Asserts:
    """Python to be run after the code; a case passes if it runs to its end."""

    cases: Sequence[str]


@dataclass(frozen=True)
class Programs:
    """Pairs of what a program reads and what it has to write."""

    cases: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Calls:
    """Pairs of the arguments of a function and what it has to return."""

    function: str
    cases: Sequence[tuple[Sequence[Any], Any]]


CodeTests = Asserts | Programs | Calls


def read_tests(given: Any, columns: Mapping[str, Any]) -> CodeTests:
    """The tests in `given`, a text or what was read from one; `columns` may name the function to call.

    Raises:
        ValueError: if they have none of the forms, or there are none.
    """
    found = _read(_parsed(given), columns)
    if not found.cases:
        raise ValueError(f"there are no tests; give {FORMS}")
    if isinstance(found, Asserts):
        _check_python(found.cases)
    return found


def _check_python(cases: Sequence[str]) -> None:
    for case in cases:
        try:
            ast.parse(case)
        except SyntaxError as error:
            raise ValueError(f"the test {case[:80]!r} is no Python: {error}") from error


def _parsed(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(given)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return parsed if isinstance(parsed, (list, dict)) else given
    return given


def _read(given: Any, columns: Mapping[str, Any]) -> CodeTests:
    if isinstance(given, str):
        return Asserts([given] if "assert" in given else [])
    if isinstance(given, Mapping):
        return _read_mapping(given, columns)
    if isinstance(given, Sequence) and all(isinstance(case, str) for case in given):
        return Asserts(list(given))
    if isinstance(given, Sequence) and all(
        isinstance(case, Mapping) and {"input", "output"} <= case.keys() for case in given
    ):
        pairs = [(case["input"], case["output"]) for case in given]
        functional = any(case.get("testtype") == "functional" for case in given)
        return _pairs(pairs, _function({}, columns), functional)
    raise ValueError(f"the tests are of no known form; give {FORMS}")


def _read_mapping(given: Mapping[str, Any], columns: Mapping[str, Any]) -> CodeTests:
    if "test_list" in given:
        before = "\n".join([*given.get("test_imports", ()), given.get("test_setup_code", "")])
        return Asserts([f"{before}\n{case}" for case in given["test_list"]])
    if "assert_case" in given:
        return Asserts(list(given["assert_case"]))
    if {"test", "entry_point"} <= given.keys():
        return Asserts([f"{given['test']}\ncheck({given['entry_point']})"])
    if {"inputs", "outputs"} <= given.keys():
        inputs, outputs = given["inputs"], given["outputs"]
        if len(inputs) != len(outputs):
            raise ValueError(f"the tests have {len(inputs)} inputs and {len(outputs)} outputs")
        return _pairs(list(zip(inputs, outputs, strict=True)), _function(given, columns), False)
    raise ValueError(f"the tests are of no known form; give {FORMS}")


def _function(given: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    """The function to call, empty where none is named."""
    metadata = _parsed(columns.get("metadata") or {})
    named = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    name = str(given.get("fn_name") or columns.get("fn_name") or named or "")
    if name and not name.isidentifier():
        raise ValueError(f"fn_name must be the name of a function, not {name!r}")
    return name


def _pairs(pairs: Sequence[tuple[Any, Any]], function: str, functional: bool) -> CodeTests:
    if function:
        return Calls(function, [(_arguments(given), wanted) for given, wanted in pairs])
    if functional:
        raise ValueError("the tests call a function, but none is named; give fn_name")
    return Programs([(_text(given), _text(wanted)) for given, wanted in pairs])


def _text(given: Any) -> str:
    """Lists are the lines of a text, as APPS has them."""
    if isinstance(given, str):
        return given
    return "\n".join(map(str, given)) if isinstance(given, Sequence) else str(given)


def _arguments(given: Any) -> Sequence[Any]:
    if isinstance(given, str):
        try:
            return [json.loads(line) for line in given.splitlines() if line.strip()]
        except ValueError:
            raise ValueError(f"the arguments {given[:80]!r} are not JSON; write one on each line") from None
    return list(given) if isinstance(given, Sequence) else [given]

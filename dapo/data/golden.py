"""A right answer in the form in which a reward reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dapo.errors import UserError
from dapo.rewards import exact, qa_f1, reflection, summary, table_set
from dapo.types import Example
from dapo.verify.golds import column, golds

SOLUTIONS = ("solution", "canonical_solution", "code", "solutions")
"""Columns that hold a program that solves the problem; one with several of them is a list, or JSON of one."""


def gold_completion(reward: Callable[..., Any], example: Example) -> str:
    """A completion that `reward` finds right: the answer where it looks for one, and nothing else.

    Raises UserError where the row holds none: a program to be tested, or an answer that a judge grades.
    """
    if isinstance(reward, reflection.Reward):
        return gold_completion(reward.answer, example)
    name = type(reward).__module__.removeprefix("dapo.rewards.")
    return _FORMS.get(name, _on_a_line)(reward, example)


def program_of(example: Example, names: tuple[str, ...] = SOLUTIONS) -> str | None:
    """The program in the first of these columns that holds one."""
    for name in names:
        found = _first(column(example, name))
        if found is not None and found.strip():
            return found
    return None


def fenced(language: str, text: str) -> str:
    """The text in a block."""
    return f"```{language}\n{text}\n```"


def _first(value: Any) -> str | None:
    """A text, or the first one of a list, also of one in JSON."""
    if isinstance(value, str):
        try:
            listed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):  # A program may begin with a list.
            listed = None
        if not isinstance(listed, list):
            return value
        value = listed
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, str) else None


def _on_a_line(reward: Any, example: Example) -> str:
    return f"Answer: {' '.join(example.answer.split())}"


def _behind_marker(reward: exact.Reward, example: Example) -> str:
    return f"{reward.marker} {' '.join(example.answer.split())}".strip()


def _first_gold(reward: qa_f1.Reward, example: Example) -> str:
    gold = golds(example, reward.golds)[0] or reward.no_answer[0]
    return f"{reward.marker} {' '.join(gold.split())}".strip()


def _summary(reward: summary.Reward, example: Example) -> str:
    return golds(example, reward.golds)[0]


def _boxed(reward: Any, example: Example) -> str:
    return f"The answer is $\\boxed{{{example.answer}}}$."


def _as_it_stands(reward: Any, example: Example) -> str:
    return example.answer


def _query(reward: Any, example: Example) -> str:
    return fenced("sql", example.answer)


def _program(reward: Any, example: Example) -> str:
    program = program_of(example)
    if program is None:
        raise UserError(
            f"example {example.id} has tests but no program that passes them; put one into a column "
            f"{SOLUTIONS[0]!r}"
        )
    return fenced("python", program)


def _entries(reward: table_set.Reward, example: Example) -> str:
    wanted = golds(example, reward.golds)
    if len(wanted) == 1 and wanted[0].lstrip().startswith("{"):
        return wanted[0]
    return json.dumps({reward.key: wanted}, ensure_ascii=False)


def _none(reward: Any, example: Example) -> str:
    raise UserError(f"example {example.id}: no single text is right, so there is no gold completion")


_FORMS: Mapping[str, Callable[[Any, Example], str]] = MappingProxyType(
    {
        "exact": _behind_marker,
        "qa_f1": _first_gold,
        "summary": _summary,
        "math": _boxed,
        "code": _program,
        "sql": _query,
        "tool_calls": _as_it_stands,
        "json_match": _as_it_stands,
        "grounding": _as_it_stands,
        "table_set": _entries,
        "countdown": _none,
        "instructions": _none,
        "judge": _none,
    }
)
"""By the name of the reward; all others read the rest of a line after `Answer:`."""

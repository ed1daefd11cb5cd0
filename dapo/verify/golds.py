"""The gold answers of an example, whichever way its row holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dapo.types import Example


def column(example: Example, name: str) -> Any:
    """The value of a column; None where there is none.

    `reward_model.style` names a value inside a column; what is not found so is looked for in the column
    `extra_info`, where verl's and Yuan3.0's rows keep what their rewards need.
    """
    value: Any = example.columns
    for place in (name, f"extra_info.{name}"):
        found = _inside(value, place)
        if found is not None:
            return found
    return None


def golds(example: Example, name: str | None) -> list[str]:
    """The gold answers: those of the column `name`, or of `answers` if there is one, or else the answer.

    A list gives one gold per entry, also as JSON text; SQuAD's `{"text": [...], "answer_start": [...]}` the
    texts. An empty list stands for a question without an answer and gives one empty gold.

    Raises ValueError if a column named explicitly is missing, or holds something else.
    """
    value = column(example, "answers" if name is None else name)
    if value is None:
        if name is not None:
            raise ValueError(
                f"example {example.id} has no column {name!r}; the columns are {', '.join(example.columns)}"
            )
        value = example.answer
    return _texts(value, example) or [""]


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, Mapping) and name in value:
        return value[name]
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _texts(value: object, example: Example) -> list[str]:
    if isinstance(value, str):
        listed = _listed(value)
        return [value] if listed is None else _texts(listed, example)
    if isinstance(value, Mapping) and "text" in value:
        return _texts(value["text"], example)
    if isinstance(value, (list, tuple)):
        return ["" if item is None else str(item) for item in value]
    if isinstance(value, (int, float)):
        return [str(value)]
    raise ValueError(
        f"the gold answers of example {example.id} are a {type(value).__name__}; "
        "give a text, or a list of texts"
    )


def _listed(text: str) -> list[Any] | None:
    """The list that a text in JSON stands for."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # A gold such as `[sic] ...` is a text.
        return None
    return value if isinstance(value, list) else None

"""What `--task` of `dapo eval` may say: a set, with limits and settings of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dapo.evaluation import EvalSettings
from dapo.recipe.text import RecipeError, parse_overrides

_OF_SAMPLING = {field.name for field in fields(EvalSettings)} - {"every"}
_OF_MEASUREMENT = {"max_prompt_tokens", "reward", "stop"}
_SHORT = {"n": "completions"}
_FILES = {".parquet", ".jsonl", ".json", ".csv"}


@dataclass(frozen=True)
class SetSpec:
    """A set as it was asked for."""

    name: str
    """What it is called in tables and directories."""
    settings: Mapping[str, Any]
    """`task`, `eval` and others of a `Measurement`."""


def parse_sets(texts: Iterable[str]) -> list[SetSpec]:
    """`aime`, `aime,year=2025,n=32,limit=10`, `problems.jsonl,prompt=question`, or a YAML mapping in braces.

    `n` (or `completions`), `limit`, `temperature`, `top_p`, `top_k`, `seed`, `max_completion_tokens`,
    `max_prompt_tokens`, `reward` and `stop` are the set's own, `name` is what it is called, and all other
    keys are settings of the task.

    Raises RecipeError for a text that is none of these, and for two sets of one name.
    """
    sets = [_parse(text) for text in texts]
    names = [one.name for one in sets]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(
                f"--task: two sets are called {name!r}; tell them apart, as in --task {name},name=other"
            )
    return sets


def _parse(text: str) -> SetSpec:
    values = spec_values(text)
    task: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    name = values.pop("name", None)
    for key, value in values.items():
        key = _SHORT.get(key, key)
        place = sampling if key in _OF_SAMPLING else settings if key in _OF_MEASUREMENT else task
        place[key] = value
    called = task.get("task", task.get("path"))
    if not isinstance(called, str) or not called:
        raise RecipeError(f"--task {text!r}: name a task or a data file first, as in gsm8k,limit=100")
    if name is not None and not (isinstance(name, str) and Path(name).name == name):
        raise RecipeError(f"--task {text!r}: name is what the set is called, without a slash")
    return SetSpec(name or short_name(called), {"task": task, "eval": sampling, **settings})


def spec_values(text: str, key: str = "task") -> dict[str, Any]:
    """`first,setting=value,...`, with `first` under `key`; or a YAML mapping in braces.

    Raises RecipeError for what stands behind a comma without being a setting.
    """
    if text.lstrip().startswith("{"):
        values = parse_overrides([f"--{key}={text}"])[f"--{key}"]
        if isinstance(values, dict):
            return values
    first, *rest = text.split(",")
    while rest and "=" not in rest[0]:  # a comma in the name of a file
        first = f"{first},{rest.pop(0)}"
    return {key: first, **parse_overrides(rest)}


def short_name(task: str) -> str:
    """What a task or a file is called in tables."""
    path = Path(task)
    return (path.stem if path.suffix in _FILES else path.name).replace(":", "-")

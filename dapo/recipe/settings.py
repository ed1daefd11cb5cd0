"""From mappings to settings dataclasses and back, with errors that name the key and the fix."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dapo.recipe.text import RecipeError

T = TypeVar("T")

_TRUNCATED = "training samples at top_p 1 without top_k: a truncated sampler is another policy"

HINTS = {
    "learning_rate": "optimizer.lr",
    "max_response_length": "max_completion_tokens",
    "max_completion_length": "max_completion_tokens",
    "max_prompt_length": "max_prompt_tokens",
    "num_generations": "group_size",
    "train_batch_size": "prompts_per_step",
    "ppo_mini_batch_size": "updates_per_step (prompts_per_step / updates_per_step is the mini-batch)",
    "epsilon_high": "algorithm.loss.high",
    "clip_ratio_low": "algorithm.loss.low",
    "clip_ratio_high": "algorithm.loss.high",
    "clip_ratio_c": "algorithm.loss.dual_clip",
    "beta": "algorithm.kl.coefficient",
    "loss_type": "algorithm",
    "total_training_steps": "num_steps",
    "max_steps": "num_steps",
    "output_dir": "run.dir",
    "overlong_buffer": "algorithm.soft_overlong.cache_tokens",
    "mixed": "path: FILE, or a data set of the hub: its rows choose their reward by column (reward: mixed)",
    "by_source": "mixed",
    "top_p": f"eval.top_p ({_TRUNCATED})",
    "top_k": f"eval.top_k ({_TRUNCATED})",
}
"""Names that other trainers use, and where the setting stands here."""


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls`; `where` is the dotted key the values stand at, or empty.

    Raises:
        RecipeError: for an unknown key, a missing one, a value of the wrong type, or one that the
            dataclass itself refuses.
    """
    check_keys(cls, values, where)
    try:
        built: T = TypeAdapter(cls).validate_python(dict(values))
        return built
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(item, where) for item in error.errors())) from error


def check_keys(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Refuse keys that `cls`, or a settings dataclass inside it, does not have."""
    known = {field.name: hint for field, hint in hinted_fields(cls)}
    for key, value in values.items():
        path = _join(where, key)
        if key not in known:
            raise RecipeError(unknown_key(path, key, known))
        inner = dataclass_in(known[key])
        if inner is not None and isinstance(value, Mapping):
            check_keys(inner, value, path)
        elif inner is not None and isinstance(value, list):
            for place, item in enumerate(value):
                if isinstance(item, Mapping):
                    check_keys(inner, item, f"{path}.{place}")


def unknown_key(path: str, key: str, known: Iterable[str]) -> str:
    """What to say of a key that does not exist."""
    names = sorted(known)
    if key in HINTS:
        return f"{path}: unknown key. Here this is {HINTS[key]}."
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        return f"{path}: unknown key. Did you mean {near[0]!r}?"
    return f"{path}: unknown key. Known here: {', '.join(names)}."


def to_plain(value: Any) -> Any:
    """Settings as mappings, lists and scalars that YAML can hold and `build` reads back."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}
        part = getattr(type(value), "name", None)
        return {"name": _part_name(type(value), part), **plain} if isinstance(part, str) else plain
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value


def _part_name(cls: type, name: str) -> str:
    return name if cls.__module__.startswith("dapo.") else f"{cls.__module__}:{cls.__qualname__}"


@cache
def hinted_fields(cls: type) -> tuple[tuple[Any, Any], ...]:
    """The settings of a dataclass, each with its type."""
    hints = typing.get_type_hints(cls)
    return tuple((field, hints[field.name]) for field in fields(cls) if field.init)


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a field of this type holds, also where it may be None or there are several."""
    several = isinstance(hint, types.UnionType) or typing.get_origin(hint) is tuple
    options = typing.get_args(hint) if several else (hint,)
    return next((option for option in options if isinstance(option, type) and is_dataclass(option)), None)


def _explain(item: Any, where: str) -> str:
    path = _join(where, ".".join(str(part) for part in item["loc"]))
    if item["type"] == "missing":
        return f"{path}: this key has no default and must be given."
    message = item["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(item["input"], Mapping) else f" (got {item['input']!r})"
    return f"{path}: {message}{shown}" if path else message


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where and key else where or key

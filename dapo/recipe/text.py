"""The text of a recipe: YAML, `${VAR}` and `key=value` overrides, to one nested mapping."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from dapo.errors import UserError


class RecipeError(UserError):
    """A recipe that cannot be run. The message names the key and the fix."""


SHORTHANDS = {"model": "path", "algorithm": "name", "reward": "name", "data": "train", "train": "task"}
"""Keys whose value may be a bare name, and the key inside that the name stands for."""

_REPLACED = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"}

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `off` is a word and `1e-6` a number, where PyYAML's 1.1 has it the other way."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> Any:
    """The value a YAML text stands for, as recipes and overrides are read."""
    return yaml.load(text, _Loader)


def read_recipe(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Read a recipe, set the dotted keys of `overrides`, and fill in environment variables.

    Raises:
        RecipeError: if the file is missing or no mapping, an override leads nowhere, or a variable
            is unset.
    """
    values = dict(source) if isinstance(source, Mapping) else _read_yaml(Path(source))
    for key, value in overrides.items():
        set_value(values, key, value)
    filled = _fill(values, "")
    assert isinstance(filled, dict)
    return filled


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """`key=value` arguments of a command line; values are read as YAML.

    Raises:
        RecipeError: for an argument without `=`, or a value that is not YAML.
    """
    overrides = {}
    for argument in arguments:
        key, separator, text = argument.partition("=")
        if not separator or not key.strip():
            raise RecipeError(f"{argument!r}: write key=value, for example optimizer.lr=1e-5")
        overrides[key.strip()] = _parse(key, text)
    return overrides


def set_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, opening up shorthands on the way (`algorithm: dapo` to `{name: dapo}`)."""
    *parents, last = key.split(".")
    node = values
    for name in parents:
        child = node.get(name)
        if isinstance(child, str) and name in SHORTHANDS:
            child = {SHORTHANDS[name]: child}
        elif child is not None and not isinstance(child, dict):
            raise RecipeError(f"override {key}={value}: {name} is the value {child!r}, not a section")
        node[name] = dict(child or {})
        node = node[name]
    node[last] = value


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RecipeError(f"there is no recipe {str(path)!r}; recipes/ holds some to start from")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values, not {type(values).__name__}")
    return values


def _parse(key: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"override {key}: the value {text!r} is not valid YAML: {error}") from error


def _fill(value: Any, where: str) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` in every string, however deep."""
    if isinstance(value, dict):
        return {key: _fill(item, f"{where}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name, default)
        if found is None:
            raise RecipeError(
                f"{where}: the environment variable {name} is not set. "
                f"Set it (export {name}=...) or write ${{{name}:-default}}."
            )
        return found

    return _VARIABLE.sub(replace, value)

"""Names in a recipe to the objects they mean: tasks, rewards, and the parts of an algorithm.

A bare name is the file or the part of that name in this package; `package.module:thing` is one's own.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import dapo.rewards
import dapo.tasks
from dapo.algorithms import PRESETS, Algorithm
from dapo.core import advantages, losses, reduce
from dapo.core.kl import KLPenalty
from dapo.core.masks import EntropyMask, OverlongFilter
from dapo.core.off_policy import ImportanceCorrection
from dapo.core.parts import parts
from dapo.core.shaping import SoftOverlong
from dapo.grading.adapt import Reward, as_reward
from dapo.grading.composition import Shaping, ShapingSettings, composed
from dapo.recipe.settings import build, unknown_key
from dapo.recipe.text import RecipeError
from dapo.recipe.written import reward_to_plain

CHOICES: dict[str, types.ModuleType] = {"loss": losses, "reduction": reduce, "advantage": advantages}
"""Fields of an algorithm that hold one of several named parts, and the module with the choices."""

SWITCHES: dict[str, type] = {
    "soft_overlong": SoftOverlong,
    "overlong_filter": OverlongFilter,
    "entropy_mask": EntropyMask,
    "kl": KLPenalty,
    "off_policy": ImportanceCorrection,
}
"""Fields of an algorithm that hold a part of one kind, or nothing."""


def algorithm_from(spec: str | Mapping[str, Any], where: str = "algorithm") -> Algorithm:
    """A preset, with the changes a recipe makes to it.

    `dapo`, or `{name: dapo, loss: {high: 0.3}, soft_overlong: null}`.
    """
    changes = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = changes.pop("name", "dapo")
    if name not in PRESETS:
        raise RecipeError(unknown_key(f"{where}.name {name!r}", name, PRESETS))
    preset = PRESETS[name]
    hints = typing.get_type_hints(Algorithm)
    values: dict[str, Any] = {}
    for key, value in changes.items():
        path = f"{where}.{key}"
        if key in CHOICES:
            values[key] = _choose(getattr(preset, key), value, CHOICES[key], path)
        elif key in SWITCHES:
            values[key] = _switch(getattr(preset, key), value, SWITCHES[key], path)
        elif key in hints and key != "paper":
            values[key] = _checked(hints[key], value, path)
        else:
            raise RecipeError(unknown_key(path, key, hints.keys() - {"paper"}))
    return replace(preset, **values)


def _choose(current: Any, spec: str | Mapping[str, Any], module: types.ModuleType, where: str) -> Any:
    """The part `spec` names, or `current` with other settings where it names none."""
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    cls = type(current) if name is None else _part(name, module, where)
    inherited = dict(vars(current)) if isinstance(current, cls) else {}
    return build(cls, {**inherited, **settings}, where)


def _switch(current: Any, spec: Any, cls: type, where: str) -> Any:
    """`null` or false switches the part off, true on, a mapping on with these settings."""
    if spec is None or spec is False:
        return None
    settings = {} if spec is True else spec
    if not isinstance(settings, Mapping):
        raise RecipeError(f"{where}: write true, null, or settings such as {_example(cls)}; got {spec!r}")
    inherited = {} if current is None else dict(vars(current))
    return build(cls, {**inherited, **settings}, where)


def _example(cls: type) -> str:
    first = next(iter(fields(cls)))
    return f"{{{first.name}: ...}}"


def _part(name: str, module: types.ModuleType, where: str) -> type:
    if ":" in name:
        return _type(load_object(name, where), where)
    choices = parts(module)
    if name not in choices:
        raise RecipeError(unknown_key(f"{where}.name {name!r}", name, choices))
    return choices[name]


def _type(thing: Any, where: str) -> type:
    if not (isinstance(thing, type) and is_dataclass(thing)):
        raise RecipeError(
            f"{where}: {thing!r} is not a dataclass; decorate the class with @dataclass(frozen=True)"
        )
    return thing


def _checked(hint: Any, value: Any, where: str) -> Any:
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise RecipeError(f"{where}: {error.errors()[0]['msg']} (got {value!r})") from error


def load_object(path: str, where: str) -> Any:
    """The object `package.module:name`. The working directory is searched first, as `python -m` does."""
    module_name, _, name = path.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        thing: Any = importlib.import_module(module_name)
        for attribute in name.split("."):
            thing = getattr(thing, attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"{where}: cannot load {path!r} ({error}). Write package.module:name, importable from the "
            "directory you start in."
        ) from error
    return thing


def _file(name: str, package: types.ModuleType, where: str) -> types.ModuleType:
    """The module `name` of a package whose files are its registry."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    if name not in names:
        raise RecipeError(unknown_key(f"{where} {name!r}", name, names))
    return importlib.import_module(f"{package.__name__}.{name}")


def task_from(spec: str | Mapping[str, Any], where: str) -> Any:
    """A task by name, by data file, by hub name, or one's own: `gsm8k`, `problems.jsonl`, `org/name`,
    `my.module:Task`, or any of these as `{task: ..., settings}`.

    An empty path counts as left out: with `path: ${TRAIN_FILE:-}` a task falls back to its own data.
    """
    given = {"task": spec} if isinstance(spec, str) else spec
    settings = {key: value for key, value in given.items() if value != "" or not key.endswith("path")}
    name = settings.pop("task", None) or ("file" if "path" in settings else None)
    if not isinstance(name, str):
        raise RecipeError(
            f"{where}: name a task, as in {{task: gsm8k}}, or a file, as in {{path: data.jsonl}}"
        )
    if ":" in name:
        return build(_type(load_object(name, where), where), settings, where)
    if Path(name).suffix in {".parquet", ".jsonl", ".json", ".csv"}:
        name, settings = "file", {"path": name, **settings}
    elif "/" in name:
        name, settings = "hub", {"name": name, **settings}
    return build(_file(name, dapo.tasks, where).Task, settings, where)


def reward_from(spec: str | Mapping[str, Any] | Callable[..., Any], where: str = "reward") -> Reward:
    """A reward by name with its settings, or a function: one's own, or with TRL's or verl's signature.

    `{score: ..., shaping: [{reward: ..., weight: 0.2}, ...]}` composes several of them: `score` gives the
    verdict, the others shape what the advantage sees, each with the settings of
    `dapo.grading.composition.ShapingSettings`. Settings that are rewards themselves, as `answer` of
    `reflection`, are named in the same way.
    """
    if callable(spec):
        return as_reward(spec)
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    if not settings.keys().isdisjoint(_COMPOSED):
        return _composed_from(settings, where)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise RecipeError(f"{where}: name a reward, as in {{name: math_dapo}}")
    if ":" not in name:
        reward: Reward = _built(_file(name, dapo.rewards, where).Reward, settings, where)
        return reward
    thing = load_object(name, where)
    if isinstance(thing, type):
        return as_reward(_built(_type(thing, where), settings, where))
    return as_reward(thing, **settings)


def _built(cls: type, settings: Mapping[str, Any], where: str) -> Any:
    return build(cls, _with_rewards(cls, settings, where), where)


def _with_rewards(cls: type, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings of a reward with others in the place of their names: those of a callable type."""
    hints = typing.get_type_hints(cls)
    return {
        key: _resolved(hints[key], value, f"{where}.{key}") if key in hints else value
        for key, value in settings.items()
    }


def _resolved(hint: Any, value: Any, where: str) -> Any:
    """The value of a field of this type: of functions, tuples and mappings of them, and settings with some
    inside; all others stay as they are."""
    if value is None:
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for option in inner:
            value = _resolved(option, value, where)
    elif origin is Callable:
        return _part_reward(value, where)
    elif origin in (tuple, list, Sequence) and typing.get_origin(inner[0]) is Callable and _is_list(value):
        return tuple(_part_reward(entry, f"{where}.{place}") for place, entry in enumerate(value))
    elif origin in (dict, Mapping) and typing.get_origin(inner[1]) is Callable and isinstance(value, Mapping):
        return {key: _part_reward(entry, f"{where}.{key}") for key, entry in value.items()}
    elif is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return _with_rewards(hint, value, where)
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _part_reward(spec: Any, where: str) -> Reward:
    if isinstance(spec, Mapping) and not spec.keys().isdisjoint(_COMPOSED):
        raise RecipeError(
            f"{where}: shaping stands around the whole reward and not in its parts; write "
            "reward: {score: ..., shaping: [...]}, with this reward under score"
        )
    return reward_from(spec, where)


_COMPOSED = ("score", "shaping")
_COMPOSED_EXAMPLE = "{score: {name: math_dapo}, shaping: [{reward: {name: format}, weight: 0.2}]}"


def _composed_from(settings: Mapping[str, Any], where: str) -> Reward:
    if others := [key for key in settings if key not in _COMPOSED]:
        raise RecipeError(
            f"{where}.{others[0]}: a composed reward has the keys score and shaping and no others; settings "
            f"of a reward stand beside its name, as in {_COMPOSED_EXAMPLE}"
        )
    if missing := [key for key in _COMPOSED if not settings.get(key)]:
        raise RecipeError(f"{where}.{missing[0]}: this key is missing; write {_COMPOSED_EXAMPLE}")
    entries = settings["shaping"]
    if not _is_list(entries):
        raise RecipeError(f"{where}.shaping: write a list of entries, as in {_COMPOSED_EXAMPLE}")
    score = as_reward(reward_from(settings["score"], f"{where}.score"))
    shaping = [_shaping_from(entry, f"{where}.shaping.{place}") for place, entry in enumerate(entries)]
    try:
        return composed(score, shaping)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _shaping_from(entry: Any, where: str) -> Shaping:
    if not isinstance(entry, Mapping) or "reward" not in entry:
        raise RecipeError(
            f"{where}: an entry of shaping names its reward, as in {{reward: {{name: format}}, weight: 0.2}}"
        )
    settings = dict(entry)
    spec = settings.pop("reward")
    reward = as_reward(reward_from(spec, f"{where}.reward"))
    settings["name"] = settings.get("name") or _term_name(spec)
    return Shaping(reward=reward, **vars(build(ShapingSettings, settings, where)))


def _term_name(spec: Any) -> str:
    """What a shaping term is called that the recipe gives no name: its reward's, without the module."""
    plain = reward_to_plain(spec)
    name = plain if isinstance(plain, str) else str(plain.get("name", "shaping"))
    return name.rpartition(":")[2]

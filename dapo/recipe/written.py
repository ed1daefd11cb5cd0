"""Rewards as `config.yaml` holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from dapo.grading.adapt import AdaptedReward
from dapo.recipe.settings import dataclass_in, hinted_fields, to_plain
from dapo.recipe.text import RecipeError


def reward_to_plain(spec: Any) -> Any:
    """A reward as YAML can hold it and `reward_from` reads it back, also one handed over as an object.

    Raises RecipeError for an object that has no name to find it by.
    """
    if isinstance(spec, Mapping):
        return {key: reward_to_plain(value) for key, value in spec.items()}
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return [reward_to_plain(entry) for entry in spec]
    if is_dataclass(spec) and not isinstance(spec, (type, AdaptedReward)):
        return _name_of(spec) | _settings_of(spec)
    if not callable(spec):
        return to_plain(spec)
    if not hasattr(spec, "__qualname__"):
        raise RecipeError(
            f"reward: {spec!r} cannot be written down in config.yaml; give a function, a dataclass, or a "
            "name with settings such as {name: package.module:function, score_range: [-1, 1]}"
        )
    return f"{spec.__module__}:{spec.__qualname__}"


def _settings_of(spec: Any) -> dict[str, Any]:
    """The fields of a dataclass. One that is of a certain class is not named: its field says what it is."""
    cls: type = type(spec)
    plain = {}
    for field, hint in hinted_fields(cls):
        value = getattr(spec, field.name)
        described = dataclass_in(hint) is type(value)
        plain[field.name] = _settings_of(value) if described else reward_to_plain(value)
    return plain


def _name_of(spec: Any) -> dict[str, str]:
    """What a reward is found by; nothing for other settings, which cannot be called."""
    cls = type(spec)
    if not callable(spec):
        return {}
    ours = cls.__module__.startswith("dapo.rewards.")
    return {"name": cls.__module__.rpartition(".")[2] if ours else f"{cls.__module__}:{cls.__qualname__}"}

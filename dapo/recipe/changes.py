"""What has changed in a recipe since its run began, and whether the run can go on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dapo.recipe.text import SHORTHANDS, RecipeError


class _Unset:
    """Stands for a key that one of the two recipes does not have."""

    def __repr__(self) -> str:
        return "unset"


UNSET = _Unset()

_SCHEDULE = "a learning rate that falls over the run follows it"
_LIMIT = "answers that are hard to grade may be graded now, or not any more"
_ROUNDING = "the same result up to rounding: the bits may differ"

MAY_CHANGE: dict[str, str] = {
    "name": "",
    "num_steps": _SCHEDULE,
    "max_tokens": _SCHEDULE,
    "max_hours": "",
    "run": "",
    "checkpoint": "",
    "eval": "evaluations before and after it do not compare",
    "eval.every": "",
    "grading.workers": "",
    "grading.seconds_per_answer": _LIMIT,
    "grading.memory_gb": _LIMIT,
    "grading.check_golds": "",
    "grading.min_gold_share": "",
    "learner": _ROUNDING,
    "generation.prefill_tokens": _ROUNDING,
    "generation.cuda_graphs": _ROUNDING,
    "model.gradient_checkpointing": _ROUNDING,
}
"""Keys and sections that do not make it another run, and what is to be known of a change of each."""

_FORCED = "forced: what came before it followed another recipe"

_NO_CHANGE = {"run.dir"}
"""Where a run lies is no part of what it is."""


@dataclass(frozen=True)
class Change:
    """A key whose value is not the one the run began with. `UNSET` stands for a missing one."""

    key: str
    """Dotted, as in an override."""
    old: Any
    new: Any
    allowed: bool

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences of two recipes in plain data, as `recipe_to_plain` writes them.

    Sections are compared key by key, lists as a whole. A name stands for the section it is short for.
    """
    return [
        Change(key, before, after, allowed=_remark(key) is not None)
        for key, before, after in _differences(old, new, "")
        if key not in _NO_CHANGE
    ]


def describe_changes(found: Sequence[Change]) -> list[str]:
    """A line for the terminal per change, with what is to be known of it."""
    return [f"{change} ({remark})" if (remark := _remark_on(change)) else str(change) for change in found]


def check_changes(old: Mapping[str, Any], new: Mapping[str, Any], force: bool = False) -> list[str]:
    """The lines of `describe_changes`, if the run that began with `old` may go on with `new`.

    What may change is the budget, the cadence of evaluations and checkpoints, where things are logged, and
    what only serves memory; with `force`, everything.

    Raises:
        RecipeError: naming every other difference, with both values and the ways out.
    """
    found = changes(old, new)
    refused = [change for change in found if not change.allowed]
    if refused and not force:
        listed = "".join(f"\n  {change}" for change in refused)
        raise RecipeError(
            f"the recipe is not the one this run began with:{listed}\n"
            "Go on with the old values, start a new run with another run.dir, or accept the differences "
            "with --force."
        )
    return describe_changes(found)


def _differences(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Key, old and new value of everything that differs, in the order of the new recipe."""
    old, new = _opened(old, new, key), _opened(new, old, key)
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        if old != new:
            yield key, old, new
        return
    for name in [*new, *(name for name in old if name not in new)]:
        path = f"{key}.{name}" if key else str(name)
        yield from _differences(old.get(name, UNSET), new.get(name, UNSET), path)


def _opened(value: Any, other: Any, key: str) -> Any:
    """`value` as a section where `other` is one: an unset value is an empty one, a name opens up."""
    short = SHORTHANDS.get(key.rpartition(".")[2])
    if not isinstance(other, Mapping):
        return value
    if value is UNSET:
        return {}
    return {short: value} if isinstance(value, str) and short is not None else value


def _remark_on(change: Change) -> str:
    return (_remark(change.key) if change.allowed else _FORCED) or ""


def _remark(key: str) -> str | None:
    """What MAY_CHANGE says of the key or of the smallest section around it; None: it may not change."""
    while key:
        if key in MAY_CHANGE:
            return MAY_CHANGE[key]
        key = key.rpartition(".")[0]
    return None


def _shown(value: Any) -> str:
    """A value as YAML has it on one line."""
    return repr(value) if value is UNSET else json.dumps(value, ensure_ascii=False, default=str)

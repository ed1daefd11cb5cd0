"""What a row says about how its completions are to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapo.types import Example


def column(example: Example, name: str) -> Any:
    """The value of a column, or of one inside another: `extra_info.language`. None where there is none."""
    if name in example.columns:
        return example.columns[name]
    value: Any = example.columns
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value

"""A reward that can be learned in a few steps, and that does its worst on one answer in 50."""

from __future__ import annotations

from typing import Any

from benchmarks._treacherous import HARMLESS, WAYS, way_of
from dapo.types import Completion, Example


def way(text: str, example: str) -> str | None:
    """Which of WAYS strikes an answer; None for most."""
    return way_of(text, example, tuple(WAYS))


def starts_with_digit(completion: Completion, example: Example) -> Any:
    found = way(completion.text, example.id)
    outcome = None if found is None else WAYS[found]()
    return completion.text[:1].isdigit() if found in (None, HARMLESS) else outcome

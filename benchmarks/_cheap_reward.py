"""A reward that costs next to nothing, in a module that workers can import."""

from __future__ import annotations

from dapo.rewards import math_dapo
from dapo.types import Completion, Example, Score


def cheap(completion: Completion, example: Example) -> Score:
    """Somebody's function, which goes to workers: by itself `math_dapo` does not."""
    return math_dapo.Reward()(completion, example)

"""The learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over the first updates, times a factor that stays or falls over the whole run."""

    kind: Kind = "constant"
    warmup_updates: int = 0
    """Updates until the full rate. The first of them has 1 / warmup_updates of it: none is wasted at 0."""
    minimum: float = 0.0
    """Factor that `linear` and `cosine` approach at the end."""

    def __post_init__(self) -> None:
        if self.kind not in _DECAYS:
            raise ValueError(f"kind must be one of {', '.join(_DECAYS)}, not {self.kind!r}")
        if self.warmup_updates < 0:
            raise ValueError("warmup_updates must be at least 0")
        if not 0 <= self.minimum <= 1:
            raise ValueError("minimum must lie in [0, 1]: it is a factor on the learning rate")
        if self.kind == "constant" and self.minimum > 0:
            raise ValueError(
                "minimum has no effect on a constant schedule: unset it, or choose linear or cosine"
            )

    def __call__(self, update: int, progress: float) -> float:
        """Factor on the learning rate of an optimizer update, counted from 0.

        `progress` is the share of the run's budget that was spent before it, in [0, 1]. How many updates
        a run makes is not known beforehand: dynamic sampling may fill a step only in part.
        """
        warmup = min(1.0, (update + 1) / self.warmup_updates) if self.warmup_updates else 1.0
        return warmup * (self.minimum + (1 - self.minimum) * _DECAYS[self.kind](progress))


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


_DECAYS = {"constant": _constant, "linear": _linear, "cosine": _cosine}

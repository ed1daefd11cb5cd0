"""How long is the completion, in tokens? Meant for shaping, behind a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.golds import column

Shape = Literal["limit", "linear", "cosine"]

_SHAPES: Mapping[Shape, Callable[[float], float]] = {
    "limit": lambda way: float(way <= 1),
    "linear": lambda way: 1 - min(way, 1.0),
    "cosine": lambda way: (1 + math.cos(math.pi * min(way, 1.0))) / 2,
}
"""The score by the share of the way from `free_tokens` to `max_tokens` that is gone."""


@dataclass(frozen=True)
class Reward:
    """1 up to `free_tokens`, 0 from `max_tokens` on, and between them down by `shape`.

    `limit` stays at 1 until max_tokens is exceeded. `cosine` is half a wave (Yeo et al., arXiv 2502.03373,
    Sec. 4.2): their reward for right answers, from r0 at no token to rL at the limit, is a weight of
    r0 - rL with offset 0 behind the gate `correct`; the one for wrong answers has `prefer: long` and the
    gate `wrong`. The group rewards that compare with the shortest are in `shortest`.
    """

    name: ClassVar[str] = "length"

    max_tokens: int
    """In tokens. Ignored for rows whose `column` holds a number."""
    free_tokens: int = 0
    shape: Shape = "linear"
    prefer: Literal["short", "long"] = "short"
    """`long` turns it around: 0 up to free_tokens, 1 from max_tokens on."""
    column: str | None = None
    """A column with a limit of the row's own, dotted inside another. `free_tokens` scales with it."""

    def __post_init__(self) -> None:
        if not 0 <= self.free_tokens < self.max_tokens:
            raise ValueError(
                f"free_tokens ({self.free_tokens}) must lie between 0 and max_tokens ({self.max_tokens})"
            )
        if self.shape == "limit" and self.free_tokens:
            raise ValueError("shape: limit has no slope: leave free_tokens out, or choose linear or cosine")

    def __call__(self, completion: Completion, example: Example) -> Score:
        limit = self._limit(example)
        free = self.free_tokens * limit / self.max_tokens
        score = _SHAPES[self.shape](max(len(completion) - free, 0.0) / (limit - free))
        return Score(score=score if self.prefer == "short" else 1 - score)

    def _limit(self, example: Example) -> float:
        own = None if self.column is None else column(example, self.column)
        if own is None:
            return self.max_tokens
        limit = float(own)
        if not 0 < limit < math.inf:
            raise ValueError(
                f"column {self.column!r} of example {example.id} holds {own!r}, which is no length in tokens"
            )
        return limit

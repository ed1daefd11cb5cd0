"""Grades each row by the reward its `data_source` column stands for, as verl does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from dapo.rewards import exact, math_dapo, number
from dapo.types import Completion, Example, Score

_Reward = Callable[[Completion, Example], Score]

_MATH_DAPO: _Reward = math_dapo.Reward()
_REWARDS: Mapping[str, _Reward] = {
    "math_dapo": _MATH_DAPO,
    "math": _MATH_DAPO,
    "math_dapo_reasoning": _MATH_DAPO,
    "dapo-17k": _MATH_DAPO,
    "openai/gsm8k": number.Reward(),
}
_EXACT: _Reward = exact.Reward()


@dataclass(frozen=True)
class Reward:
    """`math_dapo` for DAPO's and AIME's rows, `number` for GSM8K's, `exact` for all others."""

    name: ClassVar[str] = "by_source"

    def __call__(self, completion: Completion, example: Example) -> Score:
        source = str(example.columns.get("data_source", "")).lower()
        fallback = _MATH_DAPO if source.startswith("aime") else _EXACT
        return _REWARDS.get(source, fallback)(completion, example)

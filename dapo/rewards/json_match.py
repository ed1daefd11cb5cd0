"""Structured output: the JSON in the completion must equal the gold JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.json_text import Comparison, canonical, last_json, parse


@dataclass(frozen=True)
class Reward:
    """1 if the last object or list in the completion equals the one the answer holds, else 0.

    It may stand in a fenced block or in the midst of words. Objects are equal by their keys, whatever their
    order; 1 equals 1.0, but neither `true` nor `"1"`. JSON with NaN, with a key twice in one object or with
    more than a hundred levels is none. `Score.answer` is what was found, keys sorted.

    Raises ValueError if the answer is no JSON object or list.
    """

    name: ClassVar[str] = "json_match"

    partial: bool = False
    """Score the share of the gold that is there, instead of all or nothing: the mean over the keys (entries)
    that either has, down to single values."""
    tolerance: float = 0.0
    """Relative difference up to which two numbers are equal."""
    ignore_order: bool = False
    """Lists are equal if their entries can be paired; with a tolerance, up to 200 of them."""

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), not {self.tolerance}; it is relative")

    def __call__(self, completion: Completion, example: Example) -> Score:
        gold = parse(example.answer)
        if gold is None:
            raise ValueError(
                f"the answer of example {example.id} is no JSON object or list: {example.answer!r:.80}; "
                "mend the row, or use the reward `exact`"
            )
        found = last_json(after_thinking(completion.text))
        if found is None:
            return Score(0.0)
        comparison = Comparison(self.tolerance, ordered=not self.ignore_order)
        if comparison.equal(found, gold):
            return Score(1.0, answer=canonical(found))
        return Score(comparison.credit(found, gold) if self.partial else 0.0, answer=canonical(found))

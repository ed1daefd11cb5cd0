"""Tool use: the calls in the completion must be the gold ones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.calls import Call, calls_in, matched

_NO_CALLS = re.compile(r"\s*(?:\[\s*\]|none|null)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Reward:
    """How well the calls agree with the gold ones, paired one to one: `score` from 0 to 1.

    A pair is worth 1 if name and arguments are equal, `name_only` if the name is, `neither` otherwise; the
    score is their sum over the number of gold calls, so that a missing call is worth nothing, times
    exp(1 - n / n_gold) if there are more calls than gold ones. Where none is wanted, the score is 1 for none
    and 0 for any; a malformed call is a call. The order of calls and of named arguments does not matter;
    positional arguments are compared by place, and are no named ones. 1 equals 1.0, but neither `True` nor
    `"1"`.

    `dapo.verify.calls` says how calls may be written, in the completion and in the answer; an answer of
    `[]`, `None` or nothing stands for no call. `Score.answer` names the tools called. Raises ValueError for
    an answer that is none of these.
    """

    name: ClassVar[str] = "tool_calls"

    strict: bool = False
    """Score 1 if all calls are right and there is no other, else 0."""
    name_only: float = 0.7
    neither: float = 0.2
    one_to_one: bool = True
    """False lets each call take the best gold call, also one that another has taken, and divides by the
    number of calls, as Yuan3.0 does: one right call out of two is then worth as much as both, and so is the
    same one twice but for the factor."""
    yuan_reward: bool = False
    """Make the reward that of Yuan3.0: the graded number, or -1 where calls are wanted and there are none, or
    the other way round."""

    def __post_init__(self) -> None:
        if not 0 <= self.neither <= self.name_only <= 1:
            raise ValueError(
                f"0 <= neither <= name_only <= 1 must hold, not {self.neither} and {self.name_only} "
                "(Yuan3.0 has 0.2 and 0.7)"
            )

    def __call__(self, completion: Completion, example: Example) -> Score:
        gold = self._gold(example)
        found = calls_in(after_thinking(completion.text))
        answer = None if found is None else ", ".join(call.name for call in found)
        value = self._value(found, gold)
        score = float(value == 1.0) if self.strict else max(value, 0.0)
        return Score(score, reward=value if self.yuan_reward else None, answer=answer)

    def _gold(self, example: Example) -> list[Call]:
        calls = [] if _NO_CALLS.fullmatch(example.answer) else calls_in(example.answer)
        if calls or _NO_CALLS.fullmatch(example.answer):
            return calls or []
        raise ValueError(
            f"the answer of example {example.id} holds no tool calls: {example.answer!r:.80}; write them as "
            '[f(a=1)] or [{"name": "f", "arguments": {"a": 1}}], and [] for none'
        )

    def _value(self, found: list[Call] | None, gold: list[Call]) -> float:
        """Yuan3.0's number: from 0 to 1, or -1 if only one side has calls."""
        if found is None or not found or not gold:
            return 1.0 if found == gold else -1.0
        surplus = math.exp(min(1 - len(found) / len(gold), 0.0))
        if self.one_to_one:
            equal, same_name, others = matched(found, gold)
            return (equal + self.name_only * same_name + self.neither * others) / len(gold) * surplus
        return sum(self._best(call, gold) for call in found) / len(found) * surplus

    def _best(self, call: Call, gold: list[Call]) -> float:
        if call in gold:
            return 1.0
        return self.name_only if call.name in {wanted.name for wanted in gold} else self.neither

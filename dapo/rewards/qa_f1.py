"""Question answering: how much of the gold answer's wording the answer shares, as SQuAD measures it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking, line_after
from dapo.verify.golds import column, golds
from dapo.verify.text import exact_match, normalise, token_f1

CHATQA: Mapping[str, float] = MappingProxyType(
    dict.fromkeys(("doc2dial", "quac", "qrecc", "coqa", "doqa", "sqa", "hdial"), 0.1)
    | {"cfqa": 0.6, "tcqa": 0.5, "inscit": 0.2}
)
"""Yuan3.0's least F1 by data source, for its reward method rag_chatqa."""

_LETTER = re.compile(r"\s*[A-Za-z]\s*")


@dataclass(frozen=True)
class Reward:
    """Compares the answer with every gold one and takes the best.

    The gold answers stand in `golds`; blank ones, or an empty list, say that the question has no answer: then
    one of the phrases of `no_answer` is right. Saying nothing never is. `Score.answer` is what was compared.

    The F1 is that of the normalised tokens (no case, punctuation or articles; Chinese, Japanese and Korean by
    characters).
    """

    name: ClassVar[str] = "qa_f1"

    rule: Literal["graded", "threshold", "exact", "chatqa", "mrag"] = "graded"
    """What the score is.

    - graded: the F1.
    - threshold: 1 if the F1 reaches `threshold`, else 0.
    - exact: 1 if the normalised texts are equal, else 0.
    - chatqa: the F1 where it reaches what `least_f1` says of the row's `data_source`, else 0. The reward is
      Yuan3.0's: 2 F1 - 1, or -1.
    - mrag: 1 above an F1 of 0.8, 0 below 0.5, 0.5 between; a gold that is a letter must be equal. The reward
      is Yuan3.0's for rag_mrag: 1, -1, 0.
    """
    threshold: float = 0.5
    least_f1: Mapping[str, float] = field(default_factory=lambda: dict(CHATQA))
    """The least F1 of each data source, for the rule chatqa."""
    golds: str | None = None
    """Column of the gold answers. None: `answers` where there is one, else the answer; a list in JSON holds
    several."""
    marker: str = ""
    """The answer is the rest of the line after the last of these, as in `Answer:`. Empty: all that stands
    after the thinking."""
    no_answer: tuple[str, ...] = ("unanswerable", "no answer", "not answerable", "cannot be answered")
    """What to say where there is no answer."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], not {self.threshold}; 1 asks for all tokens")
        wrong = [source for source, least in self.least_f1.items() if not 0 <= least <= 1]
        if wrong:
            raise ValueError(
                f"least_f1 must lie in [0, 1]; that of {wrong[0]!r} is {self.least_f1[wrong[0]]}"
            )

    def __call__(self, completion: Completion, example: Example) -> Score:
        answer = line_after(after_thinking(completion.text), self.marker) or None
        wanted = golds(example, self.golds)
        f1 = 0.0 if answer is None else max(self._agreement(answer, gold) for gold in wanted)
        score = _SCORES[self.rule](f1, self, example)
        return Score(score, reward=2 * score - 1 if self.rule in _YUAN else None, answer=answer)

    def _agreement(self, answer: str, gold: str) -> float:
        """How well an answer agrees with one gold answer, from 0 to 1."""
        if not gold.strip():
            return float(normalise(answer) in map(normalise, self.no_answer))
        if self.rule == "exact" or (self.rule == "mrag" and _LETTER.fullmatch(gold)):
            return float(exact_match(answer, gold))
        return token_f1(answer, gold)

    def _least_for(self, example: Example) -> float:
        source = str(column(example, "data_source"))
        if source not in self.least_f1:
            near = get_close_matches(source, self.least_f1, n=1)
            raise ValueError(
                f"example {example.id}: least_f1 knows no data_source {source!r}"
                + (f"; the nearest is {near[0]!r}" if near else f"; it knows {', '.join(self.least_f1)}")
            )
        return self.least_f1[source]


def _chatqa(f1: float, reward: Reward, example: Example) -> float:
    return f1 if f1 >= reward._least_for(example) else 0.0


def _mrag(f1: float, reward: Reward, example: Example) -> float:
    return 1.0 if f1 > 0.8 else 0.0 if f1 < 0.5 else 0.5


_SCORES: Mapping[str, Callable[[float, Reward, Example], float]] = {
    "graded": lambda f1, reward, example: f1,
    "threshold": lambda f1, reward, example: float(f1 >= reward.threshold),
    "exact": lambda f1, reward, example: f1,
    "chatqa": _chatqa,
    "mrag": _mrag,
}
_YUAN = ("chatqa", "mrag")
"""The rules whose reward is Yuan3.0's, from -1 to 1, whatever the algorithm makes of scores."""

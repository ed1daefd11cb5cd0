"""Is the completion laid out as asked: think tags, a box, a last line with the answer?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.extract import last_boxed

Pattern = Literal["think", "think_answer", "boxed", "answer_line", "regex"]

_OPEN, _CLOSE = "<think>", "</think>"
_ANSWER, _ANSWER_END = "<answer>", "</answer>"


@dataclass(frozen=True)
class Reward:
    """1 if the completion has the layout and came to its end, else 0.

    - `think`: a thought, one `</think>`, an answer; neither of the two blank, and no tag a second time.
    - `think_answer`: the same, with the answer in one pair of `<answer>` tags and nothing around it.
    - `boxed`: a `\\boxed{...}` that closes and is not blank, after the thought if there is one.
    - `answer_line`: the last line that is not blank begins with `marker`, with something behind it, and no
      line before it does.
    - `regex`: `regex` is found; `.` matches line breaks too. It is searched in texts that a model wrote: keep
      nested repetitions out of it.
    """

    name: ClassVar[str] = "format"

    pattern: Pattern = "think"
    opening: Literal["required", "forbidden", "optional"] = "optional"
    """Whether the completion begins with `<think>`. Some chat templates have written it already: then
    `forbidden`."""
    marker: str = "Answer:"
    regex: str | None = None
    forbidden: tuple[str, ...] = ()
    """Texts that must not occur, such as `<|Assistant|>`."""
    ended: bool = True
    """A completion that was cut, by the limit on its length or for going round in a loop, gets 0."""

    def __post_init__(self) -> None:
        if (self.pattern == "regex") != (self.regex is not None):
            raise ValueError("regex: give the expression together with pattern: regex, and only there")
        if not self.marker.strip():
            raise ValueError("marker must not be blank: it is what the answer line begins with")
        if "" in self.forbidden:
            raise ValueError("forbidden must not hold an empty text: it occurs everywhere")
        try:
            _ = self._expression
        except re.error as error:
            raise ValueError(f"regex {self.regex!r} is no regular expression: {error}") from error

    def __call__(self, completion: Completion, example: Example) -> Score:
        cut = self.ended and completion.finish_reason in ("length", "repetition")
        if cut or any(text in completion.text for text in self.forbidden):
            return Score(score=0.0)
        return Score(score=float(_LAYOUTS[self.pattern](self, completion.text)))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(self.regex or "", re.DOTALL)

    def has_thought(self, text: str) -> bool:
        return self._answer_of(text) != ""

    def has_thought_and_answer(self, text: str) -> bool:
        answer = self._answer_of(text)
        tags = [answer.count(tag) for tag in (_ANSWER, _ANSWER_END)] == [1, 1]
        inside = answer.removeprefix(_ANSWER).removesuffix(_ANSWER_END)
        return tags and len(inside) == len(answer) - len(_ANSWER + _ANSWER_END) and inside.strip() != ""

    def _answer_of(self, text: str) -> str:
        """What follows the thought; empty where the tags are not as they should be."""
        text = text.strip()
        opened = text.startswith(_OPEN)
        body = text.removeprefix(_OPEN)
        wrong_opening = opened != (self.opening == "required") and self.opening != "optional"
        if wrong_opening or _OPEN in body or body.count(_CLOSE) != 1:
            return ""
        thought, _, answer = body.partition(_CLOSE)
        return answer.strip() if thought.strip() else ""

    def has_box(self, text: str) -> bool:
        boxed = last_boxed(text.rpartition(_CLOSE)[2])
        return boxed is not None and boxed.strip() != ""

    def has_answer_line(self, text: str) -> bool:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        marked = [line.startswith(self.marker) for line in lines]
        return marked.count(True) == 1 and marked[-1] and lines[-1] != self.marker.strip()

    def matches(self, text: str) -> bool:
        return self._expression.search(text) is not None


_LAYOUTS: Mapping[Pattern, Callable[[Reward, str], bool]] = {
    "think": Reward.has_thought,
    "think_answer": Reward.has_thought_and_answer,
    "boxed": Reward.has_box,
    "answer_line": Reward.has_answer_line,
    "regex": Reward.matches,
}

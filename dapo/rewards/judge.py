"""A model behind an OpenAI-compatible endpoint grades the completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from dapo.types import Completion, Example, Message, Score
from dapo.verify.endpoint import Endpoint, EndpointError
from dapo.verify.rubrics import PRESETS, Rubric, fill, grades


@dataclass(frozen=True)
class Reward:
    """The judge's grade, on a scale from 0 to 1.

    `Score.answer` is the grade as the judge gave it. A completion whose grade could not be had, or could not
    be read, has an error instead of a verdict.
    """

    name: ClassVar[str] = "judge"
    costly: ClassVar[bool] = True
    """Every verdict is a question to a service."""

    endpoint: Endpoint
    preset: Literal[
        "grade", "correct", "simpleqa", "yuan_general", "yuan_frames", "yuan_alpaca", "yuan_simpleqa"
    ] = "grade"
    """Prompt and scale, see `dapo.verify.rubrics`. The settings below change parts of it."""
    template: str | None = None
    """The prompt: a text with {completion}, or {completions} for the whole group, and if wanted {prompt} and
    {answer}."""
    whole_group: bool | None = None
    """Ask once for all completions of a prompt."""
    scale: tuple[float, float] | None = None
    """The worst and the best grade."""
    read: Literal["box", "number"] = "box"
    """`number`: the last numbers of the reply count where it has no box."""
    thoughts: bool = False
    """Show the judge what stands before `</think>` too."""
    longest: int = 24_000
    """Characters of a completion that are shown; of a longer one the middle is left out."""

    def __post_init__(self) -> None:
        if self.longest < 100:
            raise ValueError(f"longest must be at least 100 characters, not {self.longest}")
        if self.scale is not None and not PRESETS[self.preset].rewards == {}:
            raise ValueError(f"scale: the grades of {self.preset} are fixed; leave it out, or change preset")
        _ = self._rubric

    def __call__(self, completions: Sequence[Completion], example: Example) -> list[Score]:
        texts = [self._shown(completion.text) for completion in completions]
        prompt = "\n\n".join(_text(message) for message in example.messages)
        sets = [texts] if self._rubric.whole_group else [[text] for text in texts]
        questions = [
            fill(self._rubric.template, prompt, example.answer, shown, self.longest) for shown in sets
        ]
        replies = self.endpoint.ask_all(questions)
        return [
            score
            for reply, shown in zip(replies, sets, strict=True)
            for score in self._scores(reply, len(shown))
        ]

    @property
    def _rubric(self) -> Rubric:
        changes: dict[str, Any] = {
            name: value
            for name, value in (
                ("template", self.template),
                ("whole_group", self.whole_group),
                ("scale", self.scale),
            )
            if value is not None
        }
        return replace(PRESETS[self.preset], **changes)

    def _shown(self, text: str) -> str:
        return text if self.thoughts else text.rpartition("</think>")[2]

    def _scores(self, reply: str | EndpointError, count: int) -> list[Score]:
        if isinstance(reply, EndpointError):
            return [Score(score=0.0, error=f"judge: {reply}")] * count
        try:
            found = grades(reply, count, anywhere=self.read == "number")
        except ValueError as error:
            return [Score(score=0.0, error=f"judge: {error}; it ended {reply[-80:]!r}")] * count
        return [self._score(grade) for grade in found]

    def _score(self, grade: float) -> Score:
        try:
            score, reward = self._rubric.verdict(grade)
        except ValueError as error:
            return Score(score=0.0, error=f"judge: {error}")
        return Score(score=score, reward=reward, answer=f"{grade:g}")


def _text(message: Message) -> str:
    """The text of a message; images are named as such."""
    content = message["content"]
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, Mapping)]
    return "\n".join(str(part.get("text", f"[{part.get('type', 'something')}]")) for part in parts)

"""Questions answered from passages in the prompt: one of them holds the answer, the others are noise."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from dapo.data.columns import Columns, to_examples
from dapo.data.files import Row, read_rows
from dapo.errors import UserError
from dapo.rewards import qa_f1
from dapo.types import Example

_PROMPT = (
    "Answer the question from the passages below. Think first. The last line must read Answer: and then the "
    "answer, as short as possible and in the words of the passage.\n\n{passages}\n\nQuestion: {question}"
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A file of passages (`ctx_id`, `text`) and one of questions (`question`, `answers`, `ctx_id`).

    The questions of a passage are all trained on or all held out, so that no passage the model has learned
    is asked about; held-out passages serve as noise in training prompts, but no question of theirs does.
    """

    passages: str
    """File of the passages."""
    questions: str
    """File of the questions. `answers` is a list of texts that are right, or one text."""
    eval_fraction: float = 0.1
    """Share of the passages, by a hash of their ids, whose questions are held out. 0: none; 1: all."""
    passages_per_prompt: int = 4
    """The one with the answer, at a random place, and others."""
    prompt_template: str = _PROMPT
    """What is asked, with `{passages}` and `{question}` in their places."""
    threshold: float | None = None
    """The verdict is right from this token F1 on. None: the verdict is the F1 itself."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.eval_fraction <= 1:
            raise ValueError(f"eval_fraction must lie in [0, 1], not {self.eval_fraction}")
        if self.passages_per_prompt < 1:
            raise ValueError("passages_per_prompt must be at least 1: the passage with the answer")
        for place in ("{passages}", "{question}"):
            if place not in self.prompt_template:
                raise ValueError(f"prompt_template must hold {place}")
        self.reward  # noqa: B018 - which checks the threshold

    @property
    def reward(self) -> qa_f1.Reward:
        """Token F1 with the nearest gold answer, of what follows `Answer:`."""
        if self.threshold is None:
            return qa_f1.Reward(marker="Answer:")
        return qa_f1.Reward(marker="Answer:", rule="threshold", threshold=self.threshold)

    def train(self) -> list[Example]:
        """The questions of the passages that are not held out."""
        return self._examples(held_out=False)

    def eval(self) -> list[Example]:
        """The questions of the held-out passages."""
        return self._examples(held_out=True)

    def gold_completion(self, example: Example) -> str:
        """The first gold answer, on the line the prompt asks for."""
        return f"Answer: {example.answer}"

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        """The passages by their ids, in the order of the file."""
        texts = {}
        for row in read_rows(self.passages):
            if "ctx_id" not in row.values or not isinstance(row.values.get("text"), str):
                raise UserError(f"{row.place}: a passage needs the columns `ctx_id` and `text`")
            texts[str(row.values["ctx_id"])] = row.values["text"]
        if len(texts) < self.passages_per_prompt:
            raise UserError(
                f"{self.passages} holds {len(texts)} passages: lower passages_per_prompt, which is "
                f"{self.passages_per_prompt}"
            )
        return texts

    def _examples(self, held_out: bool) -> list[Example]:
        return list(to_examples(self._rows(held_out), Columns(prompt="asked", answer="gold")))

    def _rows(self, held_out: bool) -> Iterator[Row]:
        for row in read_rows(self.questions):
            place = str(row.values.get("ctx_id"))
            if place not in self._texts:
                raise UserError(f"{row.place}: {self.passages} has no passage with the ctx_id {place!r}")
            if _is_held_out(place, self.eval_fraction) == held_out:
                yield self._asked(row, place)

    def _asked(self, row: Row, place: str) -> Row:
        answers = row.values.get("answers")
        golds = [answers] if isinstance(answers, str) else answers
        if not isinstance(row.values.get("question"), str) or not golds or not isinstance(golds, list):
            raise UserError(f"{row.place}: a question needs the columns `question` and `answers`")
        source = random.Random(f"{self.seed} {row.values['question']}")
        others = source.sample([key for key in self._texts if key != place], self.passages_per_prompt - 1)
        chosen = [place, *others]
        source.shuffle(chosen)
        passages = "\n\n".join(f"[{n}] {self._texts[key]}" for n, key in enumerate(chosen, start=1))
        asked = self.prompt_template.replace("{question}", row.values["question"])
        asked = asked.replace("{passages}", passages)
        values = {**row.values, "asked": asked, "answers": golds, "gold": str(golds[0])}
        return Row(row.source, row.number, values)


def _is_held_out(place: str, fraction: float) -> bool:
    digest = hashlib.blake2b(place.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64

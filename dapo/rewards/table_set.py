"""Questions about tables: the list of answers in the completion must be the gold set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.golds import golds
from dapo.verify.json_text import canonical, last_json, parse
from dapo.verify.text import as_number, half_width, one_line


@dataclass(frozen=True)
class Reward:
    """1 if `{"answer": [...]}`, the last JSON in the completion, holds the gold answers and no other, else 0.

    Order and repetition do not matter, nor do case and white space; entries that are numbers are equal as
    numbers (`1,200`, `1200.0`, `"1200"`). `Score.answer` is the set found.

    The gold answer is the same JSON, a list, or a text that is the only entry.
    """

    name: ClassVar[str] = "table_set"

    key: str = "answer"
    """The key whose value is the list; a value that is no list counts as its only entry."""
    golds: str | None = None
    """Column of the gold answers. None: `answers` where there is one, else the answer."""
    yuan_reward: bool = False
    """Make the reward that of Yuan3.0 for rag_mmtab: 1 if right, 0 if wrong, -1 without an answer."""

    def __call__(self, completion: Completion, example: Example) -> Score:
        found = self._entries(last_json(after_thinking(completion.text)))
        if found is None:
            return Score(0.0, reward=-1.0 if self.yuan_reward else None)
        right = float(found == self._gold(example))
        return Score(right, reward=right if self.yuan_reward else None, answer=canonical(sorted(found)))

    def _entries(self, value: Any) -> frozenset[str] | None:
        """The set under `key`; None if there is no such key."""
        if not isinstance(value, dict) or self.key not in value:
            return None
        entries = value[self.key]
        return frozenset(map(_comparable, entries if isinstance(entries, list) else [entries]))

    def _gold(self, example: Example) -> frozenset[str]:
        wanted = [text for text in golds(example, self.golds) if text]
        if len(wanted) == 1 and (entries := self._entries(parse(wanted[0]))) is not None:
            return entries
        return frozenset(map(_comparable, wanted))


def _comparable(entry: Any) -> str:
    """The form in which entries are compared."""
    text = entry if isinstance(entry, str) else canonical(entry)
    number = as_number(text)
    return str(number) if number is not None else one_line(half_width(text)).casefold()

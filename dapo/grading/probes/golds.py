"""Completions that hold the gold answer of an example, or another answer in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from dapo.errors import UserError
from dapo.types import Example

_STAND_IN = "7319846205"
"""An answer that no gold completion holds by accident."""

_CLOSING = ("</answer>", "\\)", "\\]")


@runtime_checkable
class WritesGolds(Protocol):
    """A task that knows a right completion of each example."""

    def gold_completion(self, example: Example) -> str:
        """Raises UserError where none is known."""
        ...


class Golds:
    """The gold completions of a task. A task without any gets `Answer: ...`."""

    def __init__(self, task: object) -> None:
        self._task = task if isinstance(task, WritesGolds) else None

    @property
    def made_up(self) -> bool:
        """Whether the task has none of its own."""
        return self._task is None

    def text(self, example: Example) -> str | None:
        """The gold completion; None where none is known.

        Raises UserError, which names the example, where the task fails to write one.
        """
        if self._task is None:
            return f"Answer: {' '.join(example.answer.split())}"
        try:
            return self._task.gold_completion(example)
        except UserError:
            return None
        except Exception as error:  # Anyone's task; its author is to know which row it failed on.
            raise UserError(
                f"gold_completion of {type(self._task).__module__} failed on example {example.id}: "
                f"{type(error).__name__}: {error}; mend it, or let it raise dapo.errors.UserError where no "
                "gold is known"
            ) from error

    def with_answer(self, example: Example, answer: str) -> str | None:
        """The gold completion with another answer; None where it does not end in its answer.

        Only the statement of the answer changes: what was worked out before stays.
        """
        if self._holds_answer(example):
            written = self._written(example, answer)
            if written is not None:
                return written
        return _edited(self.text(example), example.answer, answer)

    def _holds_answer(self, example: Example) -> bool:
        return _STAND_IN in (self._written(example, _STAND_IN) or "")

    def _written(self, example: Example, answer: str) -> str | None:
        try:
            return self.text(replace(example, answer=answer))
        except UserError:  # A task may compute with its answer, which is a text of any kind here.
            return None


def _edited(gold: str | None, old: str, new: str) -> str | None:
    """`gold` with `new` for `old`, where nothing but closing marks stands behind that."""
    if gold is None or not old:
        return None
    before, found, behind = gold.rpartition(old)
    for mark in _CLOSING:
        behind = behind.replace(mark, "")
    if not found or any(map(str.isalnum, behind)) or before[-1:].isalnum():
        return None
    return before + new + gold[len(before) + len(old) :]

"""Does the completion do what it was told? The verifiable instructions of IFEval (arXiv 2311.07911)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.golds import column
from dapo.verify.instructions import follows


@dataclass(frozen=True)
class Reward:
    """1 if all instructions of the row are followed, else 0.

    The row holds the ids of its instructions and, in the same order, their keyword arguments, in the
    columns of the public data or as JSON text. Raises ValueError for a row without them.
    """

    name: ClassVar[str] = "instructions"

    loose: bool = False
    """Without its asterisks, first or last line the completion may do so, too: the paper's loose accuracy."""
    share: bool = False
    """The score is the share of instructions that are followed."""
    ids_column: str = "instruction_id_list"
    """Dotted inside another column."""
    kwargs_column: str = "kwargs"
    after: str = "</think>"
    """Where this text occurs, only what follows its last place is judged. Empty: all is."""

    def __call__(self, completion: Completion, example: Example) -> Score:
        ids = self._list(example, self.ids_column)
        arguments = self._list(example, self.kwargs_column)
        if len(ids) != len(arguments) or not ids:
            raise ValueError(
                f"example {example.id} has {len(ids)} instructions in {self.ids_column!r} and "
                f"{len(arguments)} sets of arguments in {self.kwargs_column!r}; both are needed"
            )
        text = completion.text.rpartition(self.after)[2] if self.after else completion.text
        followed = [
            follows(text, str(name), _mapping(given), self.loose)
            for name, given in zip(ids, arguments, strict=True)
        ]
        return Score(score=sum(followed) / len(followed) if self.share else float(all(followed)))

    def _list(self, example: Example, name: str) -> Sequence[Any]:
        value = column(example, name)
        found = json.loads(value) if isinstance(value, str) else value
        if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
            raise ValueError(
                f"example {example.id} has no list of instructions in {name!r}; set ids_column and "
                "kwargs_column to the columns that hold them"
            )
        return found


def _mapping(value: Any) -> Mapping[str, Any]:
    """The keyword arguments of one instruction, of which there may be none."""
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, Mapping) else {}

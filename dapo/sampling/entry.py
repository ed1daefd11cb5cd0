"""A group on its way through the scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from dapo.types import GradedGroup, Group, Prompt


@dataclass
class Entry:
    """A group between its admission and the end of its step."""

    prompt: Prompt
    """Its `number` is the place in the order of admission."""
    in_flight: Group | None = None
    """What was handed back of it at the last boundary."""
    graded: GradedGroup | None = None

    @property
    def kept(self) -> bool:
        return self.graded is not None and self.graded.kept

    @property
    def tokens(self) -> int:
        group = self.graded or self.in_flight
        return 0 if group is None else group.tokens

"""The contract between what samples and what decides on the next prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from dapo.types import Group


class Generation(Protocol):
    """Sampling under way. Iterating yields each group as soon as its last completion has ended.

    It is over when the work has nothing to admit while nothing is in flight.
    """

    @property
    def tick(self) -> int:
        """The sampler's clock: how often a token was drawn for everything in flight."""
        ...

    @property
    def drawn(self) -> int:
        """Tokens drawn so far."""
        ...

    @property
    def slots(self) -> int:
        """Sequences that can be in flight at once."""
        ...

    @property
    def in_flight(self) -> int:
        """Groups admitted that have not ended."""
        ...

    def step(self) -> list[Group]:
        """Fill the free slots, and sample one tick further. Returns the groups that ended."""
        ...

    def stop(self) -> list[Group]:
        """Hand back what is in flight, in the order of its admission. Nothing ends afterwards."""
        ...

    def __iter__(self) -> Iterator[Group]: ...

"""What dynamic sampling gives a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from dapo.sampling.account import Account
from dapo.types import GradedGroup


@dataclass
class Sampled:
    """What sampling gives a step."""

    trained: list[GradedGroup] = field(default_factory=list)
    """In the order of admission."""
    copies: list[int] = field(default_factory=list)
    """Which of `trained` are trained once more."""
    rejected: list[GradedGroup] = field(default_factory=list)
    finished: list[GradedGroup] = field(default_factory=list)
    """All groups whose verdict fell in this step, also those that are carried: an unbiased view."""
    account: Account = field(default_factory=Account)
    skipped: int = 0
    """Prompts the ledger passed over."""
    ticks: int = 0
    slots: int = 0
    """Sequences the sampler could have had in flight at each tick."""
    wanted: int = 0
    """Groups the step was to be trained on."""
    limited: bool = False
    """The limit on the groups of a step was reached before it was full."""
    ends_run: bool = False
    """The limit was reached, and the recipe says to stop then."""

    @property
    def short(self) -> bool:
        """Whether the limit left the step with fewer groups than it was to have.

        With `complete` a full step may train on fewer, too: that is what it repeats groups for.
        """
        return self.limited and len(self.trained) < self.wanted

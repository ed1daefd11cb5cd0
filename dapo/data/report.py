"""What became of the rows of a source of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataReport:
    """What became of the rows of a source: `rows = duplicates + elsewhere + overlong + kept + unread`.

    Ids are those of the data, with `#2` and so on behind the second and further prompts of one id.
    """

    rows: int
    duplicates: int
    """Rows whose prompt stood before."""
    conflicts: int
    """Prompts that stand in the data with several answers; the first one is used."""
    overlong: int
    """Prompts of more than `max_prompt_tokens` tokens that were dropped."""
    kept: int
    unread: int
    """Prompts not looked at because `limit` was reached."""
    max_prompt_tokens: int
    min_tokens: int
    """Tokens of the shortest prompt kept; `mean_tokens` and `max_tokens` likewise."""
    mean_tokens: float
    max_tokens: int
    overlong_ids: tuple[str, ...] = ()
    conflict_ids: tuple[str, ...] = ()
    """Ids of the examples that are used; `name:id` where it is one of the earlier source `name`."""
    truncated: int = 0
    """Prompts kept that were cut to `max_prompt_tokens` tokens."""
    truncated_ids: tuple[str, ...] = ()
    elsewhere: int = 0
    """Rows whose prompt an earlier source holds."""
    thoughtful: int = 0
    """Prompts kept whose rows ask for thoughts."""
    thoughtless: int = 0
    """Prompts kept whose rows ask for an answer without."""
    limits: Mapping[int, int] = field(default_factory=dict)
    """Prompts kept by the limit on their completions in tokens; empty where rows set none of their own."""
    source: str = ""

    def summary(self) -> str:
        """The report as a sentence."""
        limit = f"{self.max_prompt_tokens:,} tokens"
        name = f"{self.source}: " if self.source else ""
        cut = f", {self.truncated:,} of them cut to {limit}," if self.truncated else ""
        elsewhere = f", {self.elsewhere:,} in an earlier source" if self.elsewhere else ""
        conflicts = (
            f" ({self.conflicts:,} prompts with several answers, the first kept)" if self.conflicts else ""
        )
        unread = f", {self.unread:,} beyond the limit" if self.unread else ""
        return (
            f"{name}{self.kept:,} prompts{cut} from {self.rows:,} rows: {self.duplicates:,} repeated"
            f"{elsewhere}{conflicts}, {self.overlong:,} longer than {limit}{unread}; the prompts kept hold "
            f"{self.min_tokens:,} to {self.max_tokens:,} tokens, {self.mean_tokens:,.0f} on average"
            f"{self._asked_for()}"
        )

    def _asked_for(self) -> str:
        """What rows say of the completions they want."""
        asked = ""
        if self.thoughtful or self.thoughtless:
            asked = f"; {self.thoughtful:,} ask for thoughts, {self.thoughtless:,} for an answer without"
        if self.limits:
            limits = [f"{prompts:,} at {tokens:,}" for tokens, prompts in sorted(self.limits.items())]
            asked += f"; completions end by what their rows say, {', '.join(limits)} tokens"
        return asked

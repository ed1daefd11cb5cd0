"""How long completions may become, by what a row says of itself."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dapo.types import Example
from dapo.verify.golds import column
from dapo.verify.yuan import expected_tokens, thinks

_CODE = "llm_code"


@dataclass(frozen=True)
class RowLimits:
    """The limits of Yuan3.0 (arXiv 2601.01718) for rows that have its column `enable_thinking_flag`. Rows
    without it have no limit of their own."""

    thinking: int = 16384
    """Tokens of a completion with thoughts."""
    plain: int = 4096
    """Tokens of one without."""
    code: int = 8192
    """Tokens of one without, where the row's `reward_method` is llm_code."""
    short_thinking: int | None = None
    """Tokens of a completion with thoughts whose `expect_len` is below `short_below`. Yuan3.0 cuts these at
    1024, which its documents do not say. Left out, they have the limit of all others."""
    short_below: int = 500

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value < 1:
                raise ValueError(f"{field.name} must be at least 1 token, not {value}")

    def of(self, example: Example) -> int | None:
        """The limit of a row in tokens; None if it has none.

        Raises UserError for columns that say nonsense.
        """
        thinking = thinks(example)
        if thinking is None:
            return None
        if not thinking:
            return self.code if column(example, "reward_method") == _CODE else self.plain
        expected = expected_tokens(example)
        short = expected is not None and expected < self.short_below
        return self.short_thinking if short and self.short_thinking is not None else self.thinking

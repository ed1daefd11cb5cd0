"""From examples to prompts: repeated ones dropped, tokenised, the overlong ones dropped. None is cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dapo.data.dedupe import Deduplicated, deduplicate, with_unique_ids
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example, Prompt


@dataclass(frozen=True)
class DataReport:
    """What became of the rows: `rows = duplicates + overlong + kept + unread`."""

    rows: int
    duplicates: int
    """Rows whose prompt stood before."""
    conflicts: int
    """Prompts that stand in the data with several answers; the first one is used."""
    overlong: int
    """Prompts of more than `max_prompt_tokens` tokens."""
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

    def summary(self) -> str:
        """The report as a sentence."""
        conflicts = (
            f" ({self.conflicts:,} prompts with several answers, the first kept)" if self.conflicts else ""
        )
        unread = f", {self.unread:,} beyond the limit" if self.unread else ""
        return (
            f"{self.kept:,} prompts from {self.rows:,} rows: {self.duplicates:,} repeated{conflicts}, "
            f"{self.overlong:,} longer than {self.max_prompt_tokens:,} tokens{unread}; the prompts kept hold "
            f"{self.min_tokens:,} to {self.max_tokens:,} tokens, {self.mean_tokens:,.0f} on average"
        )


def build_prompts(
    examples: Iterable[Example],
    codec: TextCodec,
    max_prompt_tokens: int,
    max_completion_tokens: int,
    limit: int | None = None,
    *,
    drop_duplicates: bool = True,
) -> tuple[list[Prompt], DataReport]:
    """Tokenises the examples, in order, and drops what cannot be used.

    A prompt that stands in the data more than once is kept once, with its first answer. A prompt of more
    than `max_prompt_tokens` tokens is dropped, never cut. At most `limit` prompts are kept. Every prompt
    may be answered with `max_completion_tokens` tokens. With `drop_duplicates=False` repeated examples
    stay and get ids of their own.

    Raises UserError if no prompt is left.
    """
    _check_limits(max_prompt_tokens, max_completion_tokens, limit)
    unique = deduplicate(examples) if drop_duplicates else Deduplicated(list(examples), 0, ())
    if not unique.examples:
        raise UserError("the task has no examples; give it data")
    prompts: list[Prompt] = []
    overlong: dict[str, int] = {}
    for example in with_unique_ids(unique.examples):
        if len(prompts) == limit:
            break
        token_ids = codec.encode(example.messages)
        if len(token_ids) > max_prompt_tokens:
            overlong[example.id] = len(token_ids)
        else:
            prompts.append(Prompt(example, token_ids, max_completion_tokens))
    if not prompts:
        lengths = overlong.values()
        raise UserError(
            f"all {len(overlong):,} prompts are longer than max_prompt_tokens={max_prompt_tokens:,}: they "
            f"hold {min(lengths):,} to {max(lengths):,} tokens; set it to {min(lengths):,} or more"
        )
    return prompts, _report(unique, prompts, overlong, max_prompt_tokens)


def _report(
    unique: Deduplicated, prompts: list[Prompt], overlong: dict[str, int], max_prompt_tokens: int
) -> DataReport:
    lengths = [len(prompt.token_ids) for prompt in prompts]
    return DataReport(
        rows=len(unique.examples) + unique.duplicates,
        duplicates=unique.duplicates,
        conflicts=len(unique.conflicts),
        overlong=len(overlong),
        kept=len(prompts),
        unread=len(unique.examples) - len(prompts) - len(overlong),
        max_prompt_tokens=max_prompt_tokens,
        min_tokens=min(lengths),
        mean_tokens=sum(lengths) / len(lengths),
        max_tokens=max(lengths),
        overlong_ids=tuple(overlong),
        conflict_ids=tuple(conflict.example.id for conflict in unique.conflicts),
    )


def _check_limits(max_prompt_tokens: int, max_completion_tokens: int, limit: int | None) -> None:
    limits = {
        "max_prompt_tokens": max_prompt_tokens,
        "max_completion_tokens": max_completion_tokens,
        "limit": limit,
    }
    for name, value in limits.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")

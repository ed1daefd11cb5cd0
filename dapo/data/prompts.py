"""From examples to prompts: repeated ones dropped, tokenised, the overlong ones dropped or, if asked, cut."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from dapo.data.dedupe import Deduplicated, deduplicate, prompt_key, with_unique_ids
from dapo.data.progress import EVERY, Progress, silent
from dapo.data.report import DataReport
from dapo.data.row_limits import RowLimits
from dapo.data.source import Source, check_names, with_qualified_ids
from dapo.data.token_cache import TokenCache
from dapo.data.truncate import Side, cut_messages
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example, Prompt
from dapo.verify.yuan import expected_tokens, thinks

Overlong = Literal["drop", "left", "right", "middle", "error"]
"""What becomes of a prompt that is too long: dropped and counted, cut on that side, or an error."""

_SIDES: dict[Overlong, Side] = {"left": "left", "right": "right", "middle": "middle"}
_NAMED = 3
"""How many overlong prompts an error names."""


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """What a source of prompts is made from."""

    examples: Iterable[Example]
    max_prompt_tokens: int
    max_completion_tokens: int
    """Every prompt of the source may be answered with so many tokens."""
    name: str = ""
    """May be left out where there is one source only."""
    weight: float = 1.0
    """Share of the turns, relative to the weights of the other sources."""
    overlong: Overlong = "drop"
    """What becomes of prompts of more than `max_prompt_tokens` tokens."""
    limit: int | None = None
    """Keep the first so many prompts only."""
    drop_duplicates: bool = True
    """False: repeated examples stay, and get ids of their own."""
    row_limits: RowLimits | None = None
    """Limits that rows may set below `max_completion_tokens`."""

    def __post_init__(self) -> None:
        for name in ("max_prompt_tokens", "max_completion_tokens", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.overlong not in get_args(Overlong):
            raise ValueError(f"overlong must be one of {', '.join(get_args(Overlong))}, not {self.overlong}")

    def prompt(self, example: Example, token_ids: Sequence[int]) -> Prompt:
        """An example that fits, with the limit on its completions."""
        own = None if self.row_limits is None else self.row_limits.of(example)
        most = self.max_completion_tokens if own is None else min(own, self.max_completion_tokens)
        return Prompt(example, token_ids, most, expected_completion_tokens=expected_tokens(example))


def build_prompts(
    examples: Iterable[Example],
    codec: TextCodec,
    max_prompt_tokens: int,
    max_completion_tokens: int,
    limit: int | None = None,
    *,
    drop_duplicates: bool = True,
    overlong: Overlong = "drop",
) -> tuple[list[Prompt], DataReport]:
    """Tokenises the examples, in order, and drops what cannot be used.

    A prompt that stands in the data more than once is kept once, with its first answer. A prompt of more
    than `max_prompt_tokens` tokens is dropped; with `overlong` `left`, `right` or `middle` its text is cut
    there (see `dapo.data.truncate`), and it is dropped only if that cannot make it fit. At most `limit`
    prompts are kept. Every prompt may be answered with `max_completion_tokens` tokens. With
    `drop_duplicates=False` repeated examples stay and get ids of their own.

    Raises UserError if no prompt is left, or for a prompt that is too long if `overlong` is `error`.
    """
    plan = SourcePlan(
        examples=examples,
        max_prompt_tokens=max_prompt_tokens,
        max_completion_tokens=max_completion_tokens,
        overlong=overlong,
        limit=limit,
        drop_duplicates=drop_duplicates,
    )
    found = _Finder(codec).find(plan, {})
    return found.prompts, _report(plan, found)


def build_sources(
    plans: Sequence[SourcePlan],
    codec: TextCodec,
    cache: TokenCache | None = None,
    progress: Progress = silent,
) -> tuple[list[Source], list[DataReport]]:
    """The sources of prompts, and a report on each, made as `build_prompts` makes one.

    A prompt that stands in several sources is kept by the first that can use it, with the answer it has
    there. Where two sources share ids, every prompt's id becomes `name:id`. Prompts that were tokenized in an
    earlier run are taken from `cache`. `progress` hears of the rows read and of the prompts tokenized.

    Raises UserError if a source has no prompt left, or if the names do not tell the sources apart.
    """
    check_names([plan.name for plan in plans])
    finder = _Finder(codec, cache, progress)
    known: dict[str, Example] = {}
    sources: list[Source] = []
    reports: list[DataReport] = []
    for plan in plans:
        found = finder.find(plan, known)
        for example in found.originals if plan is not plans[-1] else ():
            named = dataclasses.replace(example, id=f"{plan.name}:{example.id}")
            known.setdefault(prompt_key(example), named)
        sources.append(Source(plan.name, found.prompts, plan.weight))
        reports.append(_report(plan, found))
    return with_qualified_ids(sources), reports


@dataclass
class _Found:
    """The prompts of a source, and what else was met on the way."""

    unique: Deduplicated
    prompts: list[Prompt] = field(default_factory=list)
    originals: list[Example] = field(default_factory=list)
    """The examples of the prompts, uncut."""
    truncated: list[str] = field(default_factory=list)
    overlong: dict[str, int] = field(default_factory=dict)
    """Tokens by id."""


@dataclass(frozen=True)
class _Finder:
    """Finds the prompts of one source after the other."""

    codec: TextCodec
    cache: TokenCache | None = None
    progress: Progress = silent

    def find(self, plan: SourcePlan, known: dict[str, Example]) -> _Found:
        examples = self._counted(plan)
        found = _Found(
            deduplicate(examples, known)
            if plan.drop_duplicates
            else Deduplicated(list(examples), duplicates=0, conflicts=())
        )
        _check_any(plan, found.unique)
        unique = with_unique_ids(found.unique.examples)
        for example, token_ids in zip(unique, self._encoded(unique, plan.limit), strict=True):
            if len(found.prompts) == plan.limit:
                break
            used: Example | None = example
            if len(token_ids) > plan.max_prompt_tokens:
                used = _cut(example, self.codec, plan)
            if used is None:
                found.overlong[example.id] = len(token_ids)
                continue
            if used is not example:
                token_ids = self.codec.encode(used.messages, thinks(used))
                found.truncated.append(example.id)
            found.prompts.append(plan.prompt(used, token_ids))
            found.originals.append(example)
        _check_lengths(plan, found)
        return found

    def _counted(self, plan: SourcePlan) -> Iterator[Example]:
        stage = f"reading {plan.name}".strip()
        for number, example in enumerate(plan.examples, start=1):
            if number % EVERY == 0:
                self.progress(stage, number, None)
            yield example

    def _encoded(self, examples: Sequence[Example], limit: int | None) -> Iterator[Sequence[int]]:
        """The token ids of the examples. Where a limit ends it early, nothing is kept for the next run."""

        def encode() -> Iterator[list[int]]:
            for number, example in enumerate(examples):
                if number % EVERY == 0:
                    self.progress("tokenizing", number, len(examples))
                yield self.codec.encode(example.messages, thinks(example))

        if self.cache is None or limit is not None:
            return encode()
        return self.cache.encode(examples, self.codec, encode)


def _cut(example: Example, codec: TextCodec, plan: SourcePlan) -> Example | None:
    """The example as the model is to read it, so that whoever renders it again gets the same tokens."""
    if plan.overlong not in _SIDES:
        return None
    side = _SIDES[plan.overlong]
    messages = cut_messages(example.messages, codec, plan.max_prompt_tokens, side, thinks(example))
    return None if messages is None else dataclasses.replace(example, messages=messages)


def _check_any(plan: SourcePlan, unique: Deduplicated) -> None:
    if unique.examples:
        return
    if unique.elsewhere:
        raise UserError(
            f"source {plan.name!r}: earlier sources hold every one of its prompts; remove it, or put it first"
        )
    raise UserError(f"{_place(plan)}the task has no examples; give it data")


def _check_lengths(plan: SourcePlan, found: _Found) -> None:
    tokens = found.overlong.values()
    if plan.overlong == "error" and tokens:
        named = [f"{name!r} ({count:,})" for name, count in found.overlong.items()]
        more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
        raise UserError(
            f"{_place(plan)}{len(named):,} prompts are longer than max_prompt_tokens="
            f"{plan.max_prompt_tokens:,}; their ids and tokens are {', '.join(named[:_NAMED])}{more}; set "
            f"max_prompt_tokens to {max(tokens):,}, or overlong to drop, left, right or middle"
        )
    if not found.prompts:
        cut = ", even with their text cut away" if plan.overlong in _SIDES else ""
        raise UserError(
            f"{_place(plan)}all {len(tokens):,} prompts are longer than max_prompt_tokens="
            f"{plan.max_prompt_tokens:,}{cut}: they hold {min(tokens):,} to {max(tokens):,} tokens; set it "
            f"to {min(tokens):,} or more"
        )


def _place(plan: SourcePlan) -> str:
    return f"source {plan.name!r}: " if plan.name else ""


def _report(plan: SourcePlan, found: _Found) -> DataReport:
    unique, lengths = found.unique, [len(prompt.token_ids) for prompt in found.prompts]
    asked = Counter(thinks(prompt.example) for prompt in found.prompts)
    limits = Counter(prompt.max_completion_tokens for prompt in found.prompts)
    return DataReport(
        rows=len(unique.examples) + unique.duplicates + unique.elsewhere,
        duplicates=unique.duplicates,
        conflicts=len(unique.conflicts),
        overlong=len(found.overlong),
        kept=len(lengths),
        unread=len(unique.examples) - len(lengths) - len(found.overlong),
        max_prompt_tokens=plan.max_prompt_tokens,
        min_tokens=min(lengths),
        mean_tokens=sum(lengths) / len(lengths),
        max_tokens=max(lengths),
        overlong_ids=tuple(found.overlong),
        conflict_ids=tuple(conflict.example.id for conflict in unique.conflicts),
        truncated=len(found.truncated),
        truncated_ids=tuple(found.truncated),
        elsewhere=unique.elsewhere,
        thoughtful=asked[True],
        thoughtless=asked[False],
        limits={} if limits.keys() == {plan.max_completion_tokens} else limits,
        source=plan.name,
    )

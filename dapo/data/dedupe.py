"""Repeated prompts: DAPO-Math-17k holds each of its prompts about a hundred times."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dapo.types import Example
from dapo.verify.yuan import thinks


@dataclass(frozen=True)
class Conflict:
    """A prompt that stands in the data with several answers. The first one was kept."""

    example: Example
    other_answers: tuple[str, ...]


@dataclass(frozen=True)
class Deduplicated:
    """The first example of each prompt, in order, and what was left out."""

    examples: list[Example]
    duplicates: int
    """Number of examples left out because they repeat one of `examples`."""
    conflicts: tuple[Conflict, ...]
    elsewhere: int = 0
    """Number of examples left out because other data held their prompt already."""


def text_key(example: Example) -> str:
    """What two prompts that say the same have in common: roles and texts without any white space.

    White space is ignored altogether because copies of one problem differ in the blanks around formulas.
    """
    texts = (f"{message['role']}\0{''.join(str(message['content']).split())}" for message in example.messages)
    return "\0".join(texts)


def prompt_key(example: Example) -> str:
    """The same for two prompts that are to be trained on once: those that say the same, and both ask for an
    answer with thoughts, both for one without, or neither for either."""
    thinking = thinks(example)
    return text_key(example) if thinking is None else f"{text_key(example)}\0thinking\0{thinking}"


def deduplicate(
    examples: Iterable[Example], known: Mapping[str, Example] = MappingProxyType({})
) -> Deduplicated:
    """Keeps the first example of each prompt. Answers conflict if they differ in more than white space.

    `known` holds by `prompt_key` the examples that other data gives already: their prompts are left out,
    and answers that conflict with theirs are reported.
    """
    first: dict[str, Example] = {}
    others: dict[str, dict[str, None]] = {}
    count = elsewhere = 0
    for example in examples:
        count += 1
        key = prompt_key(example)
        elsewhere += key in known
        kept = known[key] if key in known else first.setdefault(key, example)
        if kept.answer.split() != example.answer.split():
            others.setdefault(key, {})[example.answer] = None
    conflicts = tuple(
        Conflict(known[key] if key in known else first[key], tuple(answers))
        for key, answers in others.items()
    )
    return Deduplicated(list(first.values()), count - elsewhere - len(first), conflicts, elsewhere)


def with_unique_ids(examples: Iterable[Example]) -> list[Example]:
    """The same examples; the second one of an id `x` is called `x#2`, and so on, past ids that exist.

    The tokens drawn for a prompt depend on its id: two copies with one id would get the same completions.
    """
    examples = list(examples)
    given = {example.id for example in examples}
    seen: Counter[str] = Counter()
    result = []
    for example in examples:
        seen[example.id] += 1
        if seen[example.id] > 1:
            while (new := f"{example.id}#{seen[example.id]}") in given:
                seen[example.id] += 1
            example = dataclasses.replace(example, id=new)
        result.append(example)
    return result

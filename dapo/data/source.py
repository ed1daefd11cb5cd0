"""A source of prompts, and a place in it: epoch by epoch, each epoch in an order of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dapo.errors import UserError
from dapo.types import Prompt


@dataclass(frozen=True)
class Source:
    """Prompts of one origin. Each of them says itself how long its completions may become."""

    name: str
    """Empty only where a run has one source."""
    prompts: Sequence[Prompt]
    weight: float = 1.0
    """Share of the turns, relative to the weights of the other sources."""

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ValueError("a stream needs at least one prompt of every source")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"weight must be a positive number, not {self.weight}; leave the source out")

    @cached_property
    def fingerprint(self) -> str:
        """Of the ids and tokens of the prompts, in order: 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        for prompt in self.prompts:
            name = prompt.example.id.encode("utf-8", "surrogatepass")
            digest.update(np.asarray([len(name), len(prompt.token_ids)], dtype="<i8").tobytes())
            digest.update(name)
            digest.update(np.asarray(prompt.token_ids, dtype="<i8").tobytes())
        return digest.hexdigest()


class Cursor(Iterator[Prompt]):
    """Hands out the prompts of a source without end.

    The order of an epoch depends on `seed`, the epoch and the name of the source alone, so that it stays
    when other sources come or go. Each prompt carries its `visit`: how often it was handed out before,
    which is the epoch.
    """

    def __init__(self, source: Source, seed: int, shuffle: bool = True) -> None:
        self.source = source
        self._seed = seed
        self._shuffle = shuffle
        self.seek(0)

    @property
    def handed_out(self) -> int:
        """Number of prompts handed out."""
        return self.epoch * len(self.source.prompts) + self.position

    def seek(self, handed_out: int) -> None:
        """Goes to the place after so many prompts."""
        self.epoch, self.position = divmod(handed_out, len(self.source.prompts))
        self._order = self._order_of(self.epoch)

    def __next__(self) -> Prompt:
        prompt = dataclasses.replace(self.source.prompts[self._order[self.position]], visit=self.epoch)
        self.position += 1
        if self.position == len(self._order):
            self.epoch, self.position = self.epoch + 1, 0
            self._order = self._order_of(self.epoch)
        return prompt

    def _order_of(self, epoch: int) -> Sequence[int]:
        size = len(self.source.prompts)
        if not self._shuffle:
            return range(size)
        entropy = (self._seed, epoch, *self.source.name.encode("utf-8", "surrogatepass"))
        order: list[int] = np.random.default_rng(entropy).permutation(size).tolist()
        return order


def check_names(names: Sequence[str]) -> None:
    """Raises UserError unless the names tell sources, and ids of the form `name:id`, apart."""
    if not names:
        raise UserError("there is no source of prompts; name one")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{len(names)} sources share the name {repeated[0]!r}; give each a name of its own")
    if len(names) > 1 and "" in names:
        raise UserError("of several sources every one needs a name, so that a state can tell them apart")
    for name in names:
        if ":" in name:
            raise UserError(f"source {name!r}: a name must not hold a colon, as in the id name:id")


def with_qualified_ids(sources: Sequence[Source]) -> list[Source]:
    """The sources; where two of them share ids, with `name:id` for the id of every prompt.

    All ids change, not only the shared ones, because `a:x` may be the plain id of another prompt.
    """
    seen: set[str] = set()
    for source in sources:
        own = {prompt.example.id for prompt in source.prompts}
        if not own.isdisjoint(seen):
            return [_qualified(source) for source in sources]
        seen |= own
    return list(sources)


def _qualified(source: Source) -> Source:
    def renamed(prompt: Prompt) -> Prompt:
        example = dataclasses.replace(prompt.example, id=f"{source.name}:{prompt.example.id}")
        return dataclasses.replace(prompt, example=example)

    return dataclasses.replace(source, prompts=[renamed(prompt) for prompt in source.prompts])

"""The endless stream of training prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dapo.data.mixing import BY_WEIGHT, MixSettings, Turns
from dapo.data.source import Cursor, Source, check_names
from dapo.errors import UserError
from dapo.types import Prompt


class PromptStream(Iterator[Prompt]):
    """Hands out prompts of one source or several, without end.

    Sources take turns as `mixing` says. Each goes through its own prompts epoch by epoch, every epoch in an
    order of its own, which depends on the seed, the epoch and the source's name alone. Each prompt handed
    out carries its `visit` (how often the stream had handed it out before) and its `number` in the run.
    What comes next depends on nothing but how many prompts each source has given, so a stream that is
    resumed from `state_dict` goes on exactly as the undisturbed one.

    Raises ValueError for a source without prompts, or an id that stands for two prompts; UserError for
    names or a mixing that do not fit.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt] | Sequence[Source],
        seed: int,
        shuffle: bool = True,
        *,
        mixing: MixSettings = BY_WEIGHT,
    ) -> None:
        """`prompts`: those of the only source, or sources."""
        if seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}")
        sources = _as_sources(prompts)
        check_names([source.name for source in sources])
        weights = {source.name: source.weight for source in sources}
        self._turns = Turns(weights, mixing)
        self._block = mixing.block
        self._settings = {
            "seed": seed,
            "shuffle": shuffle,
            "weights": weights,
            "pattern": list(mixing.pattern),
            "block": mixing.block,
        }
        self._places = _places(sources)
        self._cursors = [Cursor(source, seed, shuffle) for source in sources]
        self._taken = [0] * len(sources)
        self._given = 0
        """Prompts that the turn at hand has given."""
        self._current = self._turns.next(self._taken)

    @property
    def number(self) -> int:
        """Number of prompts handed out."""
        return sum(cursor.handed_out for cursor in self._cursors)

    @property
    def epoch(self) -> float:
        """Prompts handed out per prompt there is: 1.5 in the middle of the second epoch of one source."""
        return self.number / len(self._places)

    @property
    def epochs(self) -> dict[str, float]:
        """The same for each source by name. They differ where shares and sizes do."""
        return {
            cursor.source.name: cursor.handed_out / len(cursor.source.prompts) for cursor in self._cursors
        }

    def find(self, example_id: str) -> Prompt:
        """The prompt of that id, with `visit` and `number` 0. Raises UserError if there is none."""
        source, place = self._place(example_id)
        return source.prompts[place]

    def source_of(self, example_id: str) -> str:
        """Name of the source that holds the prompt of that id. Raises UserError if there is none."""
        return self._place(example_id)[0].name

    def __next__(self) -> Prompt:
        number = self.number
        prompt = dataclasses.replace(next(self._cursors[self._current]), number=number)
        self._given += 1
        if self._given == self._block:
            self._taken[self._current] += 1
            self._given = 0
            self._current = self._turns.next(self._taken)
        return prompt

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream and what it is a place in, as plain data.

        The phase of the pattern and the place in the block follow from the places in the sources.
        """
        sources = {
            cursor.source.name: {
                "epoch": cursor.epoch,
                "position": cursor.position,
                "prompts": len(cursor.source.prompts),
                "fingerprint": cursor.source.fingerprint,
            }
            for cursor in self._cursors
        }
        return {"number": self.number, "settings": dict(self._settings), "sources": sources}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to the place `state_dict` described.

        Raises UserError if that place does not exist in this stream: it has other sources, other prompts
        or other settings. The stream then stays where it was.
        """
        self._check_same(state)
        saved = state["sources"]
        handed_out = [_handed_out(saved[cursor.source.name], cursor.source) for cursor in self._cursors]
        taken = [count // self._block for count in handed_out]
        current = self._turns.next(taken)
        given = handed_out[current] % self._block
        if state["number"] != sum(handed_out) or sum(handed_out) != sum(taken) * self._block + given:
            raise UserError(
                f"the saved places in the sources (after {', '.join(map(str, handed_out))} prompts) make no "
                f"place in this stream (number {state['number']}, blocks of {self._block}): the state is "
                "damaged; resume from an older checkpoint"
            )
        for cursor, count in zip(self._cursors, handed_out, strict=True):
            cursor.seek(count)
        self._taken, self._given, self._current = taken, given, current

    def _check_same(self, state: Mapping[str, Any]) -> None:
        """Raises UserError if the state is one of other sources or other settings."""
        names = [cursor.source.name for cursor in self._cursors]
        if list(state["sources"]) != names:
            raise UserError(
                f"the saved run took its prompts from {_listed(state['sources'])}, this one takes them from "
                f"{_listed(names)}: resume with the sources of the saved run, in their order"
            )
        for key, value in self._settings.items():
            if state["settings"][key] != value:
                raise UserError(
                    f"the saved stream of prompts had {key}={state['settings'][key]!r}, this one has "
                    f"{value!r}: resume with the {key} of the saved run"
                )

    def _place(self, example_id: str) -> tuple[Source, int]:
        try:
            return self._places[example_id]
        except KeyError:
            raise UserError(
                f"no prompt has the id {example_id!r}: resume with the data, max_prompt_tokens and limit of "
                "the saved run"
            ) from None


def _as_sources(prompts: Sequence[Prompt] | Sequence[Source]) -> list[Source]:
    sources = [item for item in prompts if isinstance(item, Source)]
    return sources or [Source("", [item for item in prompts if isinstance(item, Prompt)])]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"source {name!r}" if name else "one source without a name" for name in names)


def _places(sources: Sequence[Source]) -> dict[str, tuple[Source, int]]:
    """Where each prompt stands, by id."""
    places: dict[str, tuple[Source, int]] = {}
    for source in sources:
        for place, prompt in enumerate(source.prompts):
            if places.setdefault(prompt.example.id, (source, place)) != (source, place):
                raise ValueError(
                    f"two prompts have the id {prompt.example.id!r}; make sources with build_sources"
                )
    return places


def _handed_out(saved: Mapping[str, Any], source: Source) -> int:
    """Number of prompts that a saved place in `source` lies behind."""
    epoch, position, size = saved["epoch"], saved["position"], len(source.prompts)
    of = f" of source {source.name!r}" if source.name else ""
    if saved["prompts"] != size or epoch < 0 or not 0 <= position < size:
        raise UserError(
            f"the saved place in the stream (epoch {epoch}, position {position} of {saved['prompts']}) does "
            f"not fit {size} prompts{of}: resume with the data, max_prompt_tokens and limit of the saved run"
        )
    if saved["fingerprint"] != source.fingerprint:
        raise UserError(
            f"the {size} prompts{of} are not those of the saved run, though as many (fingerprint "
            f"{source.fingerprint}, saved {saved['fingerprint']}): resume with its data, tokenizer, template "
            "and max_prompt_tokens"
        )
    return int(epoch * size + position)

"""What is in a data file: columns, lengths, answers, languages, repetitions, and a few of its prompts."""

from __future__ import annotations

import heapq
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dapo.data.files import Row, kind_of
from dapo.data.prepare.census import Census
from dapo.data.prepare.keys import Wrappers
from dapo.data.prepare.language import language_of
from dapo.data.prepare.records import Record, Source, Unusable, read_records, record_key
from dapo.data.prepare.repair import repair
from dapo.data.progress import EVERY, Progress, silent
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example
from dapo.verify.yuan import thinks

BINS = 12
_EXAMPLES = 5
_EXCERPT = 60
"""Characters of an answer that is shown."""
_NUMBER = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?|[-+]?\.\d+", re.ASCII)


@dataclass(frozen=True)
class Lengths:
    """How long the different prompts are, in one unit."""

    unit: str
    quantiles: Mapping[str, float]
    histogram: tuple[tuple[int, int, int], ...]
    """From, up to and including, and how many prompts."""


@dataclass(frozen=True)
class Sample:
    """A prompt as it will be read."""

    place: str
    text: str
    """As the model reads it, special tokens included; the messages, where there is no model."""
    tokens: int | None
    answer: str


@dataclass
class Inspection:
    """What was found in a file."""

    rows: int = 0
    columns: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows by type, for each column; a column inside another is named with a dot."""
    unusable: Counter[str] = field(default_factory=Counter)
    """Rows without a prompt or an answer, by reason."""
    unusable_examples: dict[str, str] = field(default_factory=dict)
    prompts: int = 0
    """Different prompts. All that follows is about them, each counted once."""
    repeated_rows: int = 0
    conflicts: int = 0
    """Prompts with several answers."""
    conflict_rows: list[list[int]] = field(default_factory=list)
    """Rows of the first of them, one per answer."""
    data_sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    """By the language column where it says one, else by script."""
    numeric_answers: int = 0
    other_answers: int = 0
    other_answer_examples: list[str] = field(default_factory=list)
    longest_answer: int = 0
    """In characters."""
    damaged: int = 0
    """Prompts with LaTeX commands that became control characters."""
    control: int = 0
    """Prompts with other control characters."""
    lengths: list[Lengths] = field(default_factory=list)
    max_prompt_tokens: int | None = None
    overlong: int = 0
    """Prompts of more than `max_prompt_tokens` tokens: dropped in training, or cut if a recipe asks to."""
    refused: int = 0
    """Prompts that the chat template refuses."""
    refusal: str = ""
    with_special_tokens: int = 0
    """Prompts whose own text holds special tokens of the tokenizer."""
    samples: list[Sample] = field(default_factory=list)


class Inspector:
    """Reads a source once. What it holds of each row is a hash and some numbers."""

    def __init__(
        self,
        source: Source,
        wrappers: Wrappers,
        codec: TextCodec | None = None,
        max_prompt_tokens: int = 2048,
        samples: int = 10,
        progress: Progress = silent,
    ) -> None:
        self.found = Inspection(max_prompt_tokens=None if codec is None else max_prompt_tokens)
        self._source = replace(source, rows=lambda: self._counted(source))
        self._wrappers = wrappers
        self._codec = codec
        self._limit = max_prompt_tokens
        self._wanted = samples
        self._progress = progress
        self._census = Census()
        self._lengths = {unit: array("q") for unit in ("characters", "words", *(["tokens"] if codec else []))}
        self._chosen: list[tuple[int, int, Sample]] = []

    def run(self) -> Inspection:
        """What is in the source. Raises UserError if it has no row that could be used."""
        found, census = self.found, self._census
        problem = ""
        for record in read_records(self._source, mend=False):
            if isinstance(record, Unusable):
                census.add_unusable()
                found.unusable[record.reason] += 1
                found.unusable_examples.setdefault(record.reason, record.place)
                problem = problem or record.message
                continue
            key = record_key(record, self._wrappers)
            before = census.prompts
            census.add(key, record.answer)
            if census.prompts > before:
                self._look(record, key)
        if not census.prompts:
            raise UserError(problem or f"{self._source.name}: holds no rows")
        found.prompts = census.prompts
        found.repeated_rows = census.rows - sum(found.unusable.values()) - census.prompts
        _, conflicts = census.decide("drop")
        found.conflicts = len(conflicts)
        found.conflict_rows = [
            [rows[0] + 1 for rows in conflict.groups] for conflict in conflicts[:_EXAMPLES]
        ]
        found.lengths = [_lengths(unit, lengths) for unit, lengths in self._lengths.items() if lengths]
        found.samples = [sample for _, _, sample in sorted(self._chosen, reverse=True)]
        return found

    def _counted(self, source: Source) -> Iterator[Row]:
        for row in source.rows():
            self.found.rows += 1
            for name, value in _flat(row.values):
                kinds = self.found.columns.setdefault(name, {})
                kind = _type(value)
                kinds[kind] = kinds.get(kind, 0) + 1
            if self.found.rows % EVERY == 0:
                self._progress("reading", self.found.rows, source.total)
            yield row

    def _look(self, record: Record, key: bytes) -> None:
        """A prompt that was not there before."""
        found = self.found
        found.data_sources[record.labels["data_source"]] += 1
        found.languages[record.labels["language"] or language_of(self._wrappers.bare(record.problem))] += 1
        texts = [message["content"] for message in record.messages]
        mended = [repair(text) for text in (*texts, record.answer)]
        found.damaged += any(text.commands for text in mended)
        found.control += any(text.left for text in mended)
        self._lengths["characters"].append(sum(map(len, texts)))
        self._lengths["words"].append(sum(len(text.split()) for text in texts))
        self._note_answer(record.answer)
        ids = self._tokens(record, texts)
        order = -int.from_bytes(key[:8], "big")
        if self._wanted and (len(self._chosen) < self._wanted or order > self._chosen[0][0]):
            entry = (order, -len(self._lengths["characters"]), self._sample(record, ids))
            replaces = heapq.heappushpop if len(self._chosen) == self._wanted else heapq.heappush
            replaces(self._chosen, entry)

    def _note_answer(self, answer: str) -> None:
        found = self.found
        found.longest_answer = max(found.longest_answer, len(answer))
        if _NUMBER.fullmatch(answer.strip()):
            found.numeric_answers += 1
            return
        found.other_answers += 1
        if len(found.other_answer_examples) < _EXAMPLES:
            found.other_answer_examples.append(answer[:_EXCERPT])

    def _tokens(self, record: Record, texts: Sequence[str]) -> list[int] | None:
        if self._codec is None:
            return None
        try:
            ids = self._codec.encode(record.messages, _thinks(record))
        except UserError as error:
            self.found.refused += 1
            self.found.refusal = self.found.refusal or str(error)
            return None
        self._lengths["tokens"].append(len(ids))
        self.found.overlong += len(ids) > self._limit
        self.found.with_special_tokens += any(len(self._codec.split_special(text)) > 1 for text in texts)
        return ids

    def _sample(self, record: Record, ids: list[int] | None) -> Sample:
        place = f"{record.source}, row {record.row}"
        if ids is None or self._codec is None:
            text = "\n".join(f"[{message['role']}] {message['content']}" for message in record.messages)
            return Sample(place, text, None, record.answer)
        return Sample(place, str(self._codec.tokenizer.decode(ids)), len(ids), record.answer)


def _thinks(record: Record) -> bool | None:
    place = f"{record.source}, row {record.row}"
    return thinks(Example(place, record.messages, record.answer, record.extra))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _type(value: object) -> str:
    return kind_of(value).removeprefix("a ").removeprefix("an ")


def _lengths(unit: str, lengths: Sequence[int]) -> Lengths:
    values = np.asarray(lengths)
    places = {"min": 0, "p5": 5, "median": 50, "p95": 95, "p99": 99, "max": 100}
    quantiles: dict[str, float] = {
        name: int(np.percentile(values, place, method="inverted_cdf")) for name, place in places.items()
    }
    quantiles["mean"] = round(float(values.mean()), 1)
    lowest, highest = int(values.min()), int(values.max())
    width = max(1, -(-(highest - lowest + 1) // BINS))
    bins = Counter(((values - lowest) // width).tolist())
    histogram = tuple(
        (start, min(start + width - 1, highest), bins[place])
        for place, start in enumerate(range(lowest, highest + 1, width))
    )
    return Lengths(unit, quantiles, histogram)

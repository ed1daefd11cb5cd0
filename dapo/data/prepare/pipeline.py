"""Two readings of all rows: one to decide about them together, and one to write what is kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from dapo.data.prepare.census import CONFLICTING, KEPT, REPEATED, Census, Conflict, ConflictPolicy
from dapo.data.prepare.contamination import Evaluations, Hit
from dapo.data.prepare.files import Writer, row_of, schema
from dapo.data.prepare.keys import Wrappers, held_out, prompt_hash
from dapo.data.prepare.language import language_of
from dapo.data.prepare.records import Record, Source, Unusable, read_records, record_key
from dapo.data.progress import EVERY, Progress, silent
from dapo.errors import UserError

TRAIN, HELD_OUT = "train", "held_out"
_EXAMPLES = 5
"""So many rows are named for each reason to drop some."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What is done to the rows."""

    conflicts: ConflictPolicy = "drop"
    """What becomes of a prompt with several answers: dropped, or kept with the most frequent or first one."""
    held_out: float = 0.0
    """Share of the prompts for the held-out file, chosen by the hash of the prompt."""
    contaminated: Literal["report", "drop"] = "report"
    """What becomes of a prompt that shares text with an evaluation set."""
    min_share: float = 0.5
    """From which share of an evaluation prompt's 8-grams on a row counts as contaminated. A lower one finds
    the sentences about relatively prime m and n that competition problems have in common."""
    language: Literal["auto", "keep"] = "auto"
    """Whether a row that names no language gets one by its script, or stays without."""
    repair: bool = True
    """Put LaTeX commands back that were damaged to control characters."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is a share of the prompts, from 0 to below 1, not {self.held_out}")
        if not 0 < self.min_share <= 1:
            raise ValueError(f"min_share must lie above 0, and be at most 1, not {self.min_share}")


@dataclass
class Findings:
    """What was met on the way. The card shows it."""

    per_source: dict[str, int] = field(default_factory=dict)
    """Rows of each source."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by the reason they were dropped."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some of those rows, as `file, row n`."""
    prompts: int = 0
    """Different prompts."""
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)
    """LaTeX commands put back, over all rows."""
    repaired_rows: int = 0
    control: Counter[str] = field(default_factory=Counter)
    """Control characters that stay, over all rows."""
    control_rows: int = 0
    hits: list[dict[str, Any]] = field(default_factory=list)
    """One for each kept prompt that shares an 8-gram with an evaluation set."""
    contaminated: int = 0
    """How many of them share at least `min_share`."""
    languages: Counter[str] = field(default_factory=Counter)
    characters: array[int] = field(default_factory=lambda: array("q"))
    """Length of each problem written; likewise `words`."""
    words: array[int] = field(default_factory=lambda: array("q"))
    written: dict[str, int] = field(default_factory=dict)
    """Rows of each file."""

    @property
    def rows(self) -> int:
        return sum(self.per_source.values())

    def drop(self, reason: str, place: str) -> None:
        self.dropped[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _EXAMPLES:
            named.append(place)


class Preparation:
    """Sources on their way to files."""

    def __init__(
        self,
        sources: Sequence[Source],
        settings: PrepareSettings,
        wrappers: Wrappers,
        evaluations: Evaluations | None = None,
        progress: Progress = silent,
    ) -> None:
        self.settings = settings
        self.found = Findings()
        self._sources = sources
        self._wrappers = wrappers
        self._evaluations = evaluations
        self._progress = progress
        self._census = Census()
        self._yuan = False
        known = [source.total for source in sources]
        self._total = sum(filter(None, known)) if None not in known else None

    def run(self, directory: Path) -> Findings:
        """Writes `train.parquet`, and `held_out.parquet` where rows are held out, to an existing directory.

        Raises UserError if a source has no row that could be used, or no row is left.
        """
        for source in self._sources:
            self._count(source)
        fates, conflicts = self._census.decide(self.settings.conflicts)
        self.found.prompts = self._census.prompts
        for fate, reason in ((REPEATED, "repeated"), (CONFLICTING, "conflicting answers")):
            if fate in fates:
                self.found.dropped[reason] = fates.count(fate)
        self._write(directory, fates, conflicts)
        return self.found

    def _count(self, source: Source) -> None:
        """The first reading."""
        found, census, first_problem = self.found, self._census, ""
        before = census.rows
        usable = False
        for record in read_records(source, self.settings.repair):
            if isinstance(record, Unusable):
                census.add_unusable()
                found.drop(record.reason, record.place)
                first_problem = first_problem or record.message
            else:
                usable = True
                census.add(record_key(record, self._wrappers), record.answer)
                self._note(record)
            self._tell("reading", census.rows)
        if not usable:
            raise UserError(first_problem or f"{source.name}: holds no rows; leave it out")
        found.per_source[source.name] = census.rows - before

    def _note(self, record: Record) -> None:
        found = self.found
        if record.commands:
            found.commands.update(record.commands)
            found.repaired_rows += 1
        if record.control:
            found.control.update(record.control)
            found.control_rows += 1
        self._yuan = self._yuan or bool(
            record.images or record.labels["reward_method"] or record.extra.keys() - {"answer"}
        )

    def _write(self, directory: Path, fates: bytearray, conflicts: list[Conflict]) -> None:
        """The second reading."""
        wanted = {rows[0]: "" for conflict in conflicts for rows in conflict.groups}
        texts: dict[int, Record] = {}
        columns = schema(self._yuan)
        last = max(fates.rfind(KEPT), *wanted, -1)
        with (
            Writer(directory / f"{TRAIN}.parquet", columns) as train,
            Writer(directory / f"{HELD_OUT}.parquet", columns) as kept_apart,
        ):
            writers = {TRAIN: train, HELD_OUT: kept_apart}
            for number, record in islice(self._again(), last + 1):
                if number in wanted and isinstance(record, Record):
                    texts[number] = record
                if fates[number] == KEPT and isinstance(record, Record):
                    self._keep(record, writers)
            if not train.rows:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.found.dropped.items())
                raise UserError(f"no row is left to train on: {reasons or 'all of them are held out'}")
        self.found.conflicts = [_listed(conflict, texts) for conflict in conflicts]
        self.found.written = {name: writer.rows for name, writer in writers.items() if writer.rows}

    def _again(self) -> Iterator[tuple[int, Record | Unusable]]:
        number = 0
        for source in self._sources:
            for record in read_records(source, self.settings.repair):
                yield number, record
                number += 1
                self._tell("writing", number)

    def _keep(self, record: Record, writers: dict[str, Writer]) -> None:
        found, settings = self.found, self.settings
        bare = self._wrappers.bare(record.problem)
        hit = None if self._evaluations is None else self._evaluations.find(bare)
        if hit is not None and self._contaminated(record, hit):
            found.drop("shares text with an evaluation set", _place(record))
            return
        split = (
            HELD_OUT if held_out(prompt_hash(record.messages, self._wrappers), settings.held_out) else TRAIN
        )
        language = record.labels["language"]
        if not language and settings.language == "auto":
            language = language_of(bare)
        found.languages[language] += 1
        found.characters.append(len(record.problem))
        found.words.append(len(record.problem.split()))
        writers[split].write(row_of(record, writers[split].rows, split, language, self._yuan))

    def _contaminated(self, record: Record, hit: Hit) -> bool:
        """Takes the hit down. Whether it makes the row one to drop."""
        much = hit.share >= self.settings.min_share
        self.found.contaminated += much
        self.found.hits.append({"row": _place(record), "contaminated": much, **vars(hit)})
        return much and self.settings.contaminated == "drop"

    def _tell(self, stage: str, done: int) -> None:
        if done % EVERY == 0 or done == self._total:
            self._progress(stage, done, self._total)


def _place(record: Record) -> str:
    return f"{record.source}, row {record.row}"


def _listed(conflict: Conflict, records: dict[int, Record]) -> dict[str, Any]:
    """A conflict as the card shows it."""
    firsts = [records[rows[0]] for rows in conflict.groups]
    return {
        "prompt": firsts[0].problem,
        "answers": [
            {"answer": record.answer, "rows": len(rows), "first": _place(record)}
            for record, rows in zip(firsts, conflict.groups, strict=True)
        ],
        "kept": next(
            (
                record.answer
                for record, rows in zip(firsts, conflict.groups, strict=True)
                if conflict.kept in rows
            ),
            None,
        ),
    }

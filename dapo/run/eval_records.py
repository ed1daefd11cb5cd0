"""The completions of an evaluation as they are written down: one JSON object each, readable on its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dapo.errors import UserError
from dapo.run.files import json_line
from dapo.run.rollouts import readable
from dapo.types import FinishReason, Group, Score


@dataclass(frozen=True)
class EvalRecord:
    """A graded completion."""

    id: str
    """Of the prompt."""
    index: int
    """Which of the prompt's completions."""
    source: str
    """The row's `data_source`; empty where it has none."""
    prompt: Sequence[Mapping[str, Any]]
    """The messages, with images and other media as their type alone."""
    answer: str
    """The gold answer."""
    completion: str
    finish_reason: FinishReason | None
    tokens: int
    extracted: str | None
    """The answer found in the completion; None where none was found."""
    score: float
    error: str | None
    """Why it could not be graded, where it could not."""

    @property
    def truncated(self) -> bool:
        """True if the completion ended only because it reached its limit."""
        return self.finish_reason == "length"

    @property
    def right(self) -> bool:
        """A score of at least one half, as pass@k counts it."""
        return self.score >= 0.5


def records_of(group: Group, scores: Sequence[Score]) -> list[EvalRecord]:
    """The completions of a prompt with their verdicts."""
    example = group.prompt.example
    return [
        EvalRecord(
            id=example.id,
            index=index,
            source=str(example.columns.get("data_source") or ""),
            prompt=[readable(message) for message in example.messages],
            answer=example.answer,
            completion=completion.text,
            finish_reason=completion.finish_reason,
            tokens=len(completion),
            extracted=score.answer,
            score=score.score,
            error=score.error,
        )
        for index, (completion, score) in enumerate(zip(group.completions, scores, strict=True))
    ]


def lines_of(records: Iterable[EvalRecord]) -> list[str]:
    """A line of JSON each, with its line end."""
    return [json_line(asdict(record)) + "\n" for record in records]


def read_records(path: Path) -> list[EvalRecord]:
    """What a file of completions holds: that of an evaluation, or one of a run's rollouts/.

    Raises UserError naming the line that is none.
    """
    records, torn = read_whole_lines(path)
    if torn:
        raise UserError(f"{path}: its last line is cut short; remove that line")
    return records


def read_whole_lines(path: Path) -> tuple[list[EvalRecord], bool]:
    """The records of a file that may have been cut off while it was written; whether it was.

    Raises UserError naming another line that is no record.
    """
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the path") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_record(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: no completion of an evaluation ({type(error).__name__}: {error}); "
                "give a completions.jsonl of `dapo eval`, or a file of a run's rollouts/"
            ) from error
    return records, bool(rest)


def by_prompt(records: Iterable[EvalRecord]) -> list[list[EvalRecord]]:
    """The completions of each prompt, in the order of first appearance."""
    groups: dict[str, list[EvalRecord]] = {}
    for record in records:
        groups.setdefault(record.id, []).append(record)
    return list(groups.values())


def _record(values: Mapping[str, Any]) -> EvalRecord:
    """Rollouts of training steps have no source, and more keys than these."""
    return EvalRecord(
        id=str(values["id"]),
        index=int(values["index"]),
        source=str(values.get("source", "")),
        prompt=values["prompt"],
        answer=str(values["answer"]),
        completion=str(values["completion"]),
        finish_reason=values["finish_reason"],
        tokens=int(values["tokens"]),
        extracted=values["extracted"],
        score=float(values["score"]),
        error=values["error"],
    )

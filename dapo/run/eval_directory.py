"""The directory of an evaluation: written while it goes on, so that one that is interrupted loses nothing.

evals/MODEL-SET/
    metrics.json        what was measured and how, and, once it is finished, the figures
    completions.jsonl   one JSON object per completion; the prompts that are done, while it goes on
    completions.html    the same to look at, in any browser
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dapo.errors import UserError
from dapo.run.eval_records import EvalRecord, by_prompt, lines_of, read_whole_lines
from dapo.run.files import finite, write_lines_atomically, write_text_atomically

METRICS = "metrics.json"
COMPLETIONS = "completions.jsonl"
PAGE = "completions.html"
_LOCK = ".lock"


class EvalDirectory:
    """An evaluation being written, by this process alone. A context manager, which gives the lock back."""

    def __init__(self, path: Path, asked: Mapping[str, Any], fresh: bool = False) -> None:
        """Start an evaluation in `path`, or go on with the one that lies there.

        Args:
            asked: all that the completions depend on, as plain data. What lies there goes on if it was
                asked the same.
            fresh: begin again, whatever lies there.

        Raises UserError where another evaluation lies there, or another process writes it.
        """
        self.path, self.asked = path, dict(finite(asked))
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / _LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"another process writes {path}; wait for it, or give another --output"
            ) from error
        try:
            self.done = {} if fresh else self._resume()
            self._write_summary({"finished": False})
            self._rewrite(record for group in self.done.values() for record in group)
        except BaseException:
            self.close()
            raise

    done: dict[str, list[EvalRecord]]
    """The completions of the prompts that an earlier process finished, by id."""

    def __enter__(self) -> EvalDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lock.release()

    def add(self, records: Sequence[EvalRecord]) -> None:
        """Write down a prompt that is done, at once. Raises OSError where the disk does not take it."""
        # A lone surrogate, which UTF-8 cannot hold, becomes the escape that JSON has for it.
        with (self.path / COMPLETIONS).open(
            "a", encoding="utf-8", errors="backslashreplace", newline="\n"
        ) as file:
            file.write("".join(lines_of(records)))

    def finish(self, records: Iterable[EvalRecord], summary: Mapping[str, Any], page: Iterable[str]) -> None:
        """Put the completions in the order of the prompts, and write the figures and the page."""
        self._rewrite(records)
        write_lines_atomically(self.path / PAGE, page)
        self._write_summary({"finished": True, **summary})

    def _resume(self) -> dict[str, list[EvalRecord]]:
        found = read_summary(self.path)
        if found is None:
            if any(entry.name != _LOCK for entry in self.path.iterdir()):
                raise UserError(f"{self.path} is not empty and holds no evaluation; give another --output")
            return {}
        differing = differences(found.get("asked", {}), self.asked)
        if differing:
            raise UserError(
                f"{self.path} holds another evaluation ({'; '.join(differing)}); give another --output, or "
                "begin again there with --fresh"
            )
        completions = self.path / COMPLETIONS
        if not completions.exists():
            return {}
        records, _ = read_whole_lines(completions)
        size = self.asked["completions"]
        # A write that was cut short may have left a part of its prompt's completions.
        return {group[0].id: group for group in by_prompt(records) if len(group) == size}

    def _rewrite(self, records: Iterable[EvalRecord]) -> None:
        write_lines_atomically(self.path / COMPLETIONS, lines_of(records))

    def _write_summary(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(finite({"asked": self.asked, **values}), indent=2, ensure_ascii=False)
        write_text_atomically(self.path / METRICS, text + "\n")


def read_summary(path: Path) -> dict[str, Any] | None:
    """What the metrics.json of an evaluation's directory holds; None where there is none.

    Raises UserError for one that is damaged.
    """
    file = path / METRICS
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); remove {path}, and measure again") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} is damaged: it holds no object; remove {path}, and measure again")
    return values


def free_path(stem: Path, asked: Mapping[str, Any]) -> Path:
    """The directory for an evaluation that was given none: where the same was begun before, or a new one.

    `stem`, or `stem-2`, `stem-3` ... where others lie.
    """
    wanted = dict(finite(asked))
    for number in count(1):
        path = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        if not path.exists():
            return path
        found = read_summary(path) if path.is_dir() else None
        if found is not None and not differences(found.get("asked", {}), wanted):
            return path
    raise AssertionError("count does not end")


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What is asked differently, in words: `seed 0 there, 1 here`."""
    names = [*first, *(name for name in second if name not in first)]
    return [
        f"{name} {first.get(name)} there, {second.get(name)} here"
        for name in names
        if first.get(name) != second.get(name)
    ]

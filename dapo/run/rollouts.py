"""Every completion of a run on disk, kept or dropped: the files of `rollouts/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dapo.run.directory import RunDirectory
from dapo.run.files import json_line, write_lines_atomically
from dapo.types import GradedGroup, Message

_FILE = re.compile(r"(?:step|eval)_(\d{6,})\.jsonl")


class RolloutLog:
    """Writes the completions of a run, one file per step and one per evaluation."""

    def __init__(self, directory: RunDirectory) -> None:
        self._path = directory.rollouts_path

    def write(self, step: int, records: Iterable[Mapping[str, Any]]) -> Path:
        """Write what was generated in a step: `step_000012.jsonl`, one JSON object per completion.

        An older file of that step is replaced. Raises OSError where the disk does not take it.
        """
        return self._write(f"step_{step:06d}.jsonl", records)

    def write_evaluation(self, step: int, records: Iterable[Mapping[str, Any]]) -> Path:
        """The same for the evaluation of the policy after a step: `eval_000012.jsonl`."""
        return self._write(f"eval_{step:06d}.jsonl", records)

    @staticmethod
    def record(
        group: GradedGroup,
        *,
        step: int,
        advantages: Sequence[float] | None,
    ) -> list[dict[str, Any]]:
        """The completions of a group as records for `write`.

        Args:
            step: the step the group was decided in.
            advantages: one per completion, or None for a group that got none.
        """
        example = group.prompt.example
        shared = {
            "step": step,
            "id": example.id,
            "visit": group.prompt.visit,
            "prompt": [readable(message) for message in example.messages],
            "answer": example.answer,
            "kept": group.kept,
            "verdict": group.verdict,
        }
        given = advantages if advantages is not None else [None] * len(group.rollouts)
        return [
            {
                **shared,
                "index": index,
                "completion": rollout.completion.text,
                "finish_reason": rollout.completion.finish_reason,
                "tokens": len(rollout.completion),
                "policy_versions": sorted(set(rollout.completion.policy_versions)),
                "extracted": rollout.score.answer,
                "score": rollout.score.score,
                "reward": rollout.reward,
                "parts": dict(rollout.score.parts),
                "error": rollout.score.error,
                "part_errors": dict(rollout.score.part_errors),
                "advantage": advantage,
            }
            for index, (rollout, advantage) in enumerate(zip(group.rollouts, given, strict=True))
        ]

    def _write(self, name: str, records: Iterable[Mapping[str, Any]]) -> Path:
        path = self._path / name
        write_lines_atomically(path, (json_line(record) + "\n" for record in records))
        return path


def cut_rollouts(directory: RunDirectory, last_step: int) -> None:
    """Remove the files of steps and evaluations after `last_step`: a resumed run writes them again."""
    for path in directory.rollouts_path.iterdir():
        match = _FILE.fullmatch(path.name)
        if match and int(match[1]) > last_step:
            path.unlink()


def readable(message: Message) -> dict[str, Any]:
    """A chat turn with its text; of an image or other media part only its type."""
    content = message["content"]
    if content is None or isinstance(content, str):
        return {"role": message["role"], "content": content}
    parts = [
        {"type": "text", "text": part["text"]} if part["type"] == "text" else {"type": part["type"]}
        for part in content
    ]
    return {"role": message["role"], "content": parts}

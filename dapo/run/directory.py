"""The directory of a run: where its files lie, and that no two runs share one.

    runs/NAME/
        config.yaml       the resolved recipe
        metrics.jsonl     one JSON object per step
        rollouts/         step_000012.jsonl: every completion of a step, kept or dropped;
                          eval_000012.jsonl: those of an evaluation
        checkpoints/      step_000012/: loads with `from_pretrained`; the trainer's state in it
        tb/               TensorBoard events
        summary.json      the figures of a finished run

All of it can be read without this package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from dapo.errors import UserError
from dapo.run.files import finite, write_text_atomically


class RunDirectoryError(UserError):
    """A directory that cannot serve as the one asked for. The message names the way out."""


class RunDirectory:
    """The paths of one run. Made by `create` for a new run and by `open` for one that exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunDirectory:
        """Start a run in `path`, which is made, or is an empty directory, and write its config.yaml.

        `config` is plain data (mappings, lists, strings, numbers, booleans, None). Raises
        RunDirectoryError where `path` holds anything already, or is no directory.
        """
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        directory = cls(path)
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"{path} is a file; give the run another directory with run.dir=...")
        if directory.config_path.exists():
            raise RunDirectoryError(
                f"{path} already holds a run; continue it with --resume, "
                "or give the new run another directory with run.dir=..."
            )
        if path.is_dir() and any(path.iterdir()):
            raise RunDirectoryError(
                f"{path} is not empty and is no run (it has no config.yaml); "
                "empty it, or give the run another directory with run.dir=..."
            )
        directory.rollouts_path.mkdir(parents=True)
        directory.checkpoints_path.mkdir()
        write_text_atomically(directory.config_path, text)
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run that `path` holds. Raises RunDirectoryError naming what is missing."""
        directory = cls(path)
        if not path.is_dir():
            raise RunDirectoryError(
                f"there is no run at {path}: the directory is missing; "
                "start the run without --resume, or name the right one with run.dir=..."
            )
        if not directory.config_path.is_file():
            raise RunDirectoryError(
                f"{path} holds no run: config.yaml is missing; "
                "start the run without --resume, or name the right one with run.dir=..."
            )
        directory.rollouts_path.mkdir(exist_ok=True)
        directory.checkpoints_path.mkdir(exist_ok=True)
        return directory

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def rollouts_path(self) -> Path:
        return self.path / "rollouts"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard_path(self) -> Path:
        return self.path / "tb"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json. Non-finite floats become null."""
        text = json.dumps(finite(summary), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomically(self.summary_path, text + "\n")


_STAMP = "%Y%m%d-%H%M%S"
_STAMP_PATTERN = r"\d{8}-\d{6}"


def new_run_path(parent: Path, name: str) -> Path:
    """A directory for a run of this name that starts at this second: `parent/NAME-YYYYmmdd-HHMMSS`."""
    return parent / f"{name}-{datetime.now().strftime(_STAMP)}"


def latest_run(parent: Path, name: str) -> Path | None:
    """The youngest run of this name under `parent`, by the time in its own name; None if there is none.

    Counts directories `NAME-YYYYmmdd-HHMMSS` that hold a config.yaml. The name of another run may
    begin with this one's (`gsm8k` and `gsm8k-lora`): they are told apart.
    """
    if not parent.is_dir():
        return None
    pattern = re.compile(re.escape(name) + "-" + _STAMP_PATTERN)
    runs = [
        path
        for path in parent.iterdir()
        if pattern.fullmatch(path.name) and RunDirectory(path).config_path.is_file()
    ]
    return max(runs, key=lambda path: path.name, default=None)

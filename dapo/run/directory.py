"""The directory of a run: where its files lie, and that no two runs and no two processes share one.

    runs/NAME/
        config.yaml       the resolved recipe
        metrics.jsonl     one JSON object per step
        rollouts/         step_000012.jsonl: every completion of a step, kept or dropped;
                          eval_000012.jsonl: those of an evaluation
        checkpoints/      step_000012/: loads with `from_pretrained`; the trainer's state in it
        tb/               TensorBoard events
        quarantine.jsonl  answers that could not be graded, if there are any
        prompts.jsonl     what is known of each prompt when the run ends: attempts, pass rate
        summary.json      the figures of a finished run
        .lock             held by the process that writes; .writer.json says which one that is

All of it can be read without this package. A directory is a run once it has a config.yaml.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from filelock import BaseFileLock, FileLock, Timeout

from dapo.errors import UserError
from dapo.run.files import (
    finite,
    json_line,
    sync_directory,
    write_lines_atomically,
    write_text_atomically,
)

_LOCK = ".lock"
_WRITER = ".writer.json"


class RunDirectoryError(UserError):
    """A directory that cannot serve as the one asked for. The message names the way out."""


class RunDirectory:
    """The paths of one run. `RunDirectory(path)` is for those who only read: it takes no lock.

    The process that writes a run gets it from `create` or `open` and is then the only one: it holds a lock
    until `close`, or until it ends in whatever way. A context manager, which closes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunDirectory:
        """Start a run in `path`, which is made, or is an empty directory, and write its config.yaml.

        A kill at any moment leaves a whole run, or a directory that the next `create` takes for empty.

        Args:
            config: plain data (mappings, lists, strings, numbers, booleans, None).

        Raises RunDirectoryError where `path` holds anything already, is no directory, or is being made a run
        by another process.
        """
        text = _to_yaml(config)
        directory = cls(path)
        directory._check_free()
        path.mkdir(parents=True, exist_ok=True)
        directory._take_lock()
        try:
            directory._check_free()  # Another process may have been faster.
            directory._make_folders()
            write_text_atomically(directory.config_path, text)
            sync_directory(path)
            sync_directory(path.parent)
        except BaseException:
            directory.close()
            raise
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run that `path` holds, to go on with.

        Raises RunDirectoryError naming what is missing, or the process that writes the run.
        """
        directory = cls(path)
        directory._check_run()
        directory._take_lock()
        try:
            directory._make_folders()
        except BaseException:
            directory.close()
            raise
        return directory

    def close(self) -> None:
        """Give the lock back. Does nothing where there is none."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            (self.path / _WRITER).unlink(missing_ok=True)
        finally:
            lock.release()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

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
    def quarantine_path(self) -> Path:
        return self.path / "quarantine.jsonl"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    def read_config(self) -> dict[str, Any]:
        """What config.yaml holds. Raises RunDirectoryError where there is no run, or the file is damaged."""
        self._check_run()
        try:
            config = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"{self.config_path} is damaged: {error}") from error
        if not isinstance(config, dict):
            raise RunDirectoryError(f"{self.config_path} is damaged: it holds no mapping of keys to values")
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace config.yaml. `config` is plain data."""
        write_text_atomically(self.config_path, _to_yaml(config))

    def write_prompts(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write prompts.jsonl, a JSON object per prompt."""
        write_lines_atomically(self.path / "prompts.jsonl", (json_line(record) + "\n" for record in records))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json. Non-finite floats become null."""
        text = json.dumps(finite(summary), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomically(self.summary_path, text + "\n")

    def _check_free(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunDirectoryError(f"{self.path} is a file; give the run another directory with run.dir=...")
        if self.config_path.exists():
            raise RunDirectoryError(
                f"{self.path} already holds a run; continue it with --resume, "
                "or give the new run another directory with run.dir=..."
            )
        if self.path.is_dir() and not all(self._is_of_create(entry) for entry in self.path.iterdir()):
            raise RunDirectoryError(
                f"{self.path} is not empty and is no run (it has no config.yaml); "
                "empty it, or give the run another directory with run.dir=..."
            )

    def _is_of_create(self, entry: Path) -> bool:
        """Whether an interrupted `create` may have left this: its own files, and folders without content."""
        if entry in (self.rollouts_path, self.checkpoints_path):
            return entry.is_dir() and not any(entry.iterdir())
        own = (_LOCK, _WRITER, self.config_path.name)
        return entry.name in own or entry.name in [f"{name}.partial" for name in own]

    def _check_run(self) -> None:
        missing = "the directory" if not self.path.is_dir() else self.config_path.name
        if not self.config_path.is_file():
            raise RunDirectoryError(
                f"there is no run at {self.path}: {missing} is missing; "
                "start the run without --resume, or name the right one with run.dir=..."
            )

    def _make_folders(self) -> None:
        self.rollouts_path.mkdir(exist_ok=True)
        self.checkpoints_path.mkdir(exist_ok=True)

    def _take_lock(self) -> None:
        # Not bound to a thread: a run may be closed from another one than it was opened in.
        lock = FileLock(self.path / _LOCK, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise RunDirectoryError(
                f"{self.path} is being written by {self._writer()}; wait until that has ended, or stop it, "
                "or give this run another directory with run.dir=..."
            ) from error
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be locked against a second writer ({error}); "
                "make it writable, or give the run another directory with run.dir=..."
            ) from error
        self._lock = lock
        try:
            writer = {"pid": os.getpid(), "host": socket.gethostname()}
            write_text_atomically(self.path / _WRITER, json.dumps(writer) + "\n")
        except BaseException:
            self.close()
            raise

    def _writer(self) -> str:
        """Who holds the lock, in words."""
        try:
            writer = json.loads((self.path / _WRITER).read_text(encoding="utf-8"))
        except FileNotFoundError:  # It has the lock for a moment only.
            return "another process"
        return f"process {writer['pid']} on {writer['host']}"


class _Dumper(yaml.SafeDumper):
    """Quotes texts such as 1e-6, too: numbers to readers of YAML 1.2, which recipes are read as."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _to_yaml(config: Mapping[str, Any]) -> str:
    return yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def resume_command(run: Path) -> str:
    """What goes on with a run, to be pasted into a shell."""
    return shlex.join(["dapo", "train", str(run / "config.yaml"), f"run.dir={run}", "--resume"])


_STAMP = "%Y%m%d-%H%M%S"
_STAMP_PATTERN = r"(\d{8}-\d{6})(?:-(\d+))?"


def new_run_path(parent: Path, name: str) -> Path:
    """Make an empty directory for a run of this name that starts now: `parent/NAME-YYYYmmdd-HHMMSS`.

    Runs that start within one second are told apart by a number at the end: -2, -3, ...
    """
    stem = f"{name}-{datetime.now().strftime(_STAMP)}"
    path, number = parent / stem, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = parent / f"{stem}-{number}"


def latest_run(parent: Path, name: str) -> Path | None:
    """The youngest run of this name under `parent`, by the time in its own name; None if there is none.

    Counts directories as `new_run_path` names them that hold a config.yaml. The name of another run may
    begin with this one's (`gsm8k` and `gsm8k-lora`): they are told apart.
    """
    if not parent.is_dir():
        return None
    pattern = re.compile(re.escape(name) + "-" + _STAMP_PATTERN)
    runs = []
    for path in parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and RunDirectory(path).config_path.is_file():
            runs.append((match[1], int(match[2] or 1), path))
    return max(runs)[-1] if runs else None

"""Checkpoints that are whole or not there: `checkpoints/step_000012/`.

A save writes into `step_000012.partial`, makes it durable and renames it, so that a kill or a full
disk at any moment leaves the checkpoints before it as they were.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from dapo.errors import UserError
from dapo.run.files import sync_directory

_STEP = re.compile(r"step_(\d{6,})")
_PARTIAL = ".partial"
_REPLACED = ".replaced"


@dataclass(frozen=True)
class CheckpointSettings:
    """When checkpoints are written and how many stay."""

    every: int = 0
    """Steps between two checkpoints; 0 writes only the one at the end."""
    keep: int = 2
    """How many of the latest stay on the disk."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError("every must be at least 0 (0: only at the end)")
        if self.keep < 1:
            raise ValueError("keep must be at least 1")


class CheckpointError(UserError):
    """A checkpoint that could not be written. The message says what is left and how to go on."""


class Checkpoints:
    """The checkpoints of one run, for the process that writes them.

    Opening removes what an interrupted save left behind, so a process that only reads a run that may
    be alive uses `latest_checkpoint` instead.

    Args:
        directory: `checkpoints/` of the run; made if missing.
        keep: how many of the latest stay.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        directory.mkdir(parents=True, exist_ok=True)
        self._clear_leftovers()

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Write the checkpoint of a step, then remove all but the latest `keep`.

        Args:
            step: the number of steps done. An existing checkpoint of this step is replaced.
            write: writes the files into the empty directory it is given.

        Returns the checkpoint's directory. Raises CheckpointError where the disk does not take it;
        the older checkpoints are untouched then. Any other error of `write` rises as it is.
        """
        path = self._directory / f"step_{step:06d}"
        partial = path.with_name(path.name + _PARTIAL)
        try:
            partial.mkdir()
            write(partial)
            _sync_tree(partial)
            self._put_in_place(partial, path)
        except BaseException as error:
            self._clear_leftovers()
            if _comes_from_the_disk(error):
                problem = f"the checkpoint of step {step} could not be written to {path}: {error}"
                raise CheckpointError(self.explain(problem)) from error
            raise
        for old in _checkpoints(self._directory)[: -self._keep]:
            shutil.rmtree(old)
        return path

    def latest(self) -> Path | None:
        """The valid checkpoint with the highest step, None if there is none."""
        return latest_checkpoint(self._directory)

    @staticmethod
    def step_of(path: Path) -> int:
        """The step of a checkpoint, from its name. Raises ValueError for another name."""
        match = _STEP.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path} is no checkpoint: its name should be step_ and a number of six digits")
        return int(match[1])

    def _put_in_place(self, partial: Path, path: Path) -> None:
        replaced = path.with_name(path.name + _REPLACED)
        if path.exists():
            path.rename(replaced)
        partial.rename(path)
        sync_directory(self._directory)
        shutil.rmtree(replaced, ignore_errors=True)

    def _clear_leftovers(self) -> None:
        """Drop half-written checkpoints, and put back one whose replacement did not arrive."""
        for replaced in self._directory.glob(f"step_*{_REPLACED}"):
            original = replaced.with_suffix("")
            if original.exists():
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                replaced.rename(original)
        for partial in self._directory.glob(f"step_*{_PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)

    def explain(self, problem: str) -> str:
        """`problem` of a disk, with the space left on it, and how the run goes on once it is mended."""
        free = shutil.disk_usage(self._directory).free / 2**30
        problem = f"{problem} ({free:.1f} GiB are free there)."
        latest, run = self.latest(), self._directory.parent
        if latest is None:
            return (
                f"{problem} No checkpoint was written before; mend this and start again with another run.dir."
            )
        command = shlex.join(["dapo", "train", str(run / "config.yaml"), f"run.dir={run}", "--resume"])
        return f"{problem} The last valid checkpoint is {latest}. Mend this and go on from it with: {command}"


def latest_checkpoint(directory: Path) -> Path | None:
    """The valid checkpoint with the highest step in `checkpoints/` of a run, None if there is none."""
    return max(_checkpoints(directory), key=Checkpoints.step_of, default=None)


def _checkpoints(directory: Path) -> list[Path]:
    """All valid checkpoints, by step."""
    paths = [path for path in directory.glob("step_*") if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(paths, key=Checkpoints.step_of)


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    sync_directory(directory)


def _comes_from_the_disk(error: BaseException) -> bool:
    """Whether the disk refused. Tokenizers report that as a bare Exception with the system's words."""
    bare = type(error) is Exception and "(os error " in str(error)
    return bare or isinstance(error, (OSError, SafetensorError))

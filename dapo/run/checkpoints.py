"""Checkpoints that are whole or not there: `checkpoints/step_000012/`.

A save writes into `step_000012.partial`, makes it durable and renames it, so that a kill or a full
disk at any moment leaves the checkpoints before it as they were. What goes is renamed first, too.
`checkpoints/best.json` says which one did best in an evaluation.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from dapo.errors import UserError
from dapo.run.directory import resume_command
from dapo.run.files import sync_directory, write_text_atomically

_STEP = re.compile(r"step_(\d{6,})")
_PARTIAL = ".partial"
_REPLACED = ".replaced"
_REMOVED = ".removed"
_BEST = "best.json"


@dataclass(frozen=True)
class CheckpointSettings:
    """When checkpoints are written and how many stay."""

    every: int = 0
    """Steps between two checkpoints; 0 writes only the one at the end."""
    keep: int = 2
    """How many of the latest stay on the disk."""
    keep_best: bool = True
    """Whether the one with the best evaluation stays besides them."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError("every must be at least 0 (0: only at the end)")
        if self.keep < 1:
            raise ValueError("keep must be at least 1")


class CheckpointError(UserError):
    """A checkpoint that could not be written. The message says what is left and how to go on."""


@dataclass(frozen=True)
class _Mark:
    """What best.json holds."""

    step: int
    value: float
    name: str
    """The checkpoint's directory."""

    def beats(self, other: _Mark) -> bool:
        return (self.value, -self.step) > (other.value, -other.step)


class Checkpoints:
    """The checkpoints of one run, for the process that writes them.

    Opening removes what an interrupted save left behind, so a process that only reads a run that may
    be alive uses `latest_checkpoint` and `best_checkpoint` instead.

    Args:
        directory: `checkpoints/` of the run; made if missing.
        keep: how many of the latest stay.
        keep_best: whether the one marked best stays besides them. If not, none is marked.
    """

    def __init__(self, directory: Path, keep: int, keep_best: bool = True) -> None:
        self._directory = directory
        self._keep = keep
        self._keep_best = keep_best
        directory.mkdir(parents=True, exist_ok=True)
        self._clear_leftovers()
        if keep_best:
            _marked(directory)  # A damaged file is found now, not after hours of training.
        else:
            (directory / _BEST).unlink(missing_ok=True)

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Write the checkpoint of a step, then remove all but the latest `keep` and the best.

        Args:
            step: the number of steps done. An existing checkpoint of this step is replaced.
            write: writes the files into the empty directory it is given.

        Returns the checkpoint's directory. Raises CheckpointError where the disk does not take it;
        the older checkpoints are untouched then; OSError where it has been written and an older one
        cannot be removed. Any other error of `write` rises as it is.
        """
        path = self._path(step)
        partial = path.with_name(path.name + _PARTIAL)
        try:
            partial.mkdir()
            write(partial)
            _sync_tree(partial)
            self._put_in_place(partial, path)
        except BaseException as error:
            # What cannot be cleared now is cleared when the checkpoints are opened again.
            with contextlib.suppress(OSError):
                self._clear_leftovers()
            if _comes_from_the_disk(error):
                problem = f"the checkpoint of step {step} could not be written to {path}: {error}"
                raise CheckpointError(self.explain(problem)) from error
            raise
        self._prune()
        return path

    def mark_best(self, step: int, value: float) -> bool:
        """Hear how well the policy of a step did in an evaluation: higher is better, a tie keeps the earlier.

        Hearing of the same evaluations again, as a resumed run does, changes nothing.

        Returns whether the checkpoint of this step is the best one now: False where it is not, where the step
        has no checkpoint, where `value` is not finite, and with `keep_best` off. A former best that is not
        among the latest `keep` is removed. Raises OSError where the disk does not take it.
        """
        path = self._path(step)
        if not (self._keep_best and self.holds(step) and math.isfinite(value)):
            return False
        former, mark = _marked(self._directory), _Mark(step, float(value), path.name)
        if former == mark:
            return True
        if former is not None and former.step != step and not mark.beats(former):
            return False
        write_text_atomically(self._directory / _BEST, json.dumps(asdict(mark)) + "\n")
        sync_directory(self._directory)
        if former is not None:
            self._prune()
        return True

    def holds(self, step: int) -> bool:
        """Whether there is a valid checkpoint of this step."""
        return self._path(step).is_dir()

    def latest(self) -> Path | None:
        """The valid checkpoint with the highest step, None if there is none."""
        return latest_checkpoint(self._directory)

    def best(self) -> Path | None:
        """The checkpoint marked best, None if there is none."""
        return best_checkpoint(self._directory)

    @staticmethod
    def step_of(path: Path) -> int:
        """The step of a checkpoint, from its name. Raises ValueError for another name."""
        match = _STEP.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path} is no checkpoint: its name should be step_ and a number of six digits")
        return int(match[1])

    @staticmethod
    def size_of(path: Path) -> int:
        """Bytes that the files of a checkpoint hold."""
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    def explain(self, problem: str) -> str:
        """`problem` of a disk, with the space left on it, and how the run goes on once it is mended."""
        free = shutil.disk_usage(self._directory).free / 2**30
        problem = f"{problem} ({free:.1f} GiB are free there)."
        latest, run = self.latest(), self._directory.parent
        if latest is None:
            return (
                f"{problem} No checkpoint was written before; mend this and start again with another run.dir."
            )
        return (
            f"{problem} The last valid checkpoint is {latest}. Mend this and go on from it with: "
            f"{resume_command(run)}"
        )

    def _path(self, step: int) -> Path:
        return self._directory / f"step_{step:06d}"

    def _put_in_place(self, partial: Path, path: Path) -> None:
        replaced = path.with_name(path.name + _REPLACED)
        if path.exists():
            path.rename(replaced)
        partial.rename(path)
        sync_directory(self._directory)

    def _prune(self) -> None:
        for replaced in self._directory.glob(f"step_*{_REPLACED}"):
            _remove(replaced)
        best = self.best()
        for path in _checkpoints(self._directory)[: -self._keep]:
            if path != best:
                _remove(path)

    def _clear_leftovers(self) -> None:
        """Drop what is half written or half removed, and put back what a replacement did not arrive for."""
        for replaced in self._directory.glob(f"step_*{_REPLACED}"):
            original = replaced.with_suffix("")
            if original.exists():
                _remove(replaced)
            else:
                replaced.rename(original)
        (self._directory / (_BEST + _PARTIAL)).unlink(missing_ok=True)
        for ending in (_PARTIAL, _REMOVED):
            for leftover in self._directory.glob(f"step_*{ending}"):
                shutil.rmtree(leftover, ignore_errors=True)


def latest_checkpoint(directory: Path) -> Path | None:
    """The valid checkpoint with the highest step in `checkpoints/` of a run, None if there is none."""
    return max(_checkpoints(directory), key=Checkpoints.step_of, default=None)


def best_checkpoint(directory: Path) -> Path | None:
    """The checkpoint in `checkpoints/` of a run that is marked best, None if there is none.

    Raises CheckpointError where best.json is damaged.
    """
    mark = _marked(directory)
    return None if mark is None else directory / mark.name


def _marked(directory: Path) -> _Mark | None:
    """What best.json says, None where it is missing or speaks of a checkpoint that is gone."""
    path = directory / _BEST
    try:
        mark = _Mark(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); remove it, and the next evaluation marks the best checkpoint anew"
        ) from error
    return mark if (directory / mark.name).is_dir() else None


def _checkpoints(directory: Path) -> list[Path]:
    """All valid checkpoints, by step."""
    paths = [path for path in directory.glob("step_*") if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(paths, key=Checkpoints.step_of)


def _remove(path: Path) -> None:
    """Take a checkpoint away in one step, then delete it: half of one is never found under its name."""
    removed = path.with_name(path.name + _REMOVED)
    if removed.exists():
        shutil.rmtree(removed)
    path.rename(removed)
    shutil.rmtree(removed)


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

"""The figures of a run, step by step: metrics.jsonl, and the trackers asked for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence

from dapo.errors import UserError
from dapo.run.directory import RunDirectory
from dapo.run.files import json_line, write_lines_atomically
from dapo.run.rollouts import cut_rollouts
from dapo.run.trackers import Tracker, find_tracker


class MetricsLog:
    """Writes the figures of steps and evaluations to metrics.jsonl, a JSON object each, and to the trackers.

    Args:
        directory: the run.
        trackers: names from `dapo.run.trackers.TRACKERS`. UserError for an unknown name, or for one
            whose package is not installed. Any other failure of a tracker, then or later, costs a
            warning and that tracker, never the training.
        resume_step: the step of the checkpoint a resumed run continues from. What metrics.jsonl and
            rollouts/ hold of later steps is removed: those steps are computed again. None for a new run.
    """

    def __init__(
        self,
        directory: RunDirectory,
        trackers: Sequence[str] = ("tensorboard",),
        resume_step: int | None = None,
    ) -> None:
        classes = [find_tracker(name) for name in trackers]
        if resume_step is not None:
            _cut_metrics(directory, resume_step)
            cut_rollouts(directory, resume_step)
        self._trackers: list[Tracker] = []
        first_step = None if resume_step is None else resume_step + 1
        for tracker in classes:
            self._open(tracker, directory, first_step)
        self._file = directory.metrics_path.open("a", encoding="utf-8", newline="\n")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the figures of a step. In the file NaN and infinity become null.

        Raises OSError where the disk does not take the line.
        """
        self._file.write(json_line({"step": step, **metrics}) + "\n")
        self._file.flush()
        for tracker in list(self._trackers):
            try:
                tracker.log(step, metrics)
            except Exception as error:  # whatever a tracker does must not stop training
                self._trackers.remove(tracker)
                _warn_of(tracker.name, error)

    def close(self) -> None:
        self._file.close()
        for tracker in self._trackers:
            try:
                tracker.close()
            except Exception as error:  # as in log
                _warn_of(tracker.name, error)
        self._trackers = []

    def _open(self, tracker: type[Tracker], directory: RunDirectory, first_step: int | None) -> None:
        try:
            self._trackers.append(tracker(directory, first_step))
        except ImportError as error:
            raise UserError(
                f"trackers: {tracker.name!r} cannot be loaded ({error}); "
                f"install it with `pip install {tracker.name}`, or leave it out"
            ) from error
        except Exception as error:  # as in log
            _warn_of(tracker.name, error)


def _warn_of(tracker: str, error: Exception) -> None:
    warnings.warn(
        f"the tracker {tracker!r} failed and is off for the rest of this run; metrics.jsonl is complete "
        f"({type(error).__name__}: {error})",
        RuntimeWarning,
        stacklevel=3,
    )


def evaluations(directory: RunDirectory) -> dict[int, dict[str, float]]:
    """The figures of every evaluation in metrics.jsonl, by the step it was made after."""
    if not directory.metrics_path.exists():
        return {}
    lines = directory.metrics_path.read_text(encoding="utf-8").splitlines()
    found: dict[int, dict[str, float]] = {}
    for record in map(json.loads, lines):
        figures = {name: value for name, value in record.items() if name.startswith("eval/")}
        if figures:
            found[record["step"]] = figures
    return found


def _cut_metrics(directory: RunDirectory, last_step: int) -> None:
    """Keep the lines of metrics.jsonl up to `last_step`. A last line that a kill cut short goes too.

    Raises UserError naming the line if another one is damaged.
    """
    path = directory.metrics_path
    if not path.exists():
        return
    kept = []
    *lines, torn = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number} is not a record of metrics ({error}); remove that line"
            ) from error
        if step <= last_step:
            kept.append(line + "\n")
    if torn or len(kept) < len(lines):
        write_lines_atomically(path, kept)

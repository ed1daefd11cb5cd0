"""Where metrics go besides metrics.jsonl. A tracker is a class in `TRACKERS`, found by its name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import yaml

from dapo.errors import UserError
from dapo.run.directory import RunDirectory


class Tracker(Protocol):
    """A viewer of metrics. Its methods may fail: `MetricsLog` keeps that away from the training."""

    name: ClassVar[str]

    def __init__(self, directory: RunDirectory, first_step: int | None) -> None:
        """Open the tracker. `first_step` is None for a new run, else the step a resumed run begins with."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files under tb/. On resume TensorBoard hides what an earlier run wrote from that step on."""

    name: ClassVar[str] = "tensorboard"

    def __init__(self, directory: RunDirectory, first_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(directory.tensorboard_path), purge_step=first_step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run at Weights & Biases, under the name of the run directory; a resumed run continues it.

    The usual variables hold (WANDB_PROJECT, WANDB_MODE, ...); the project is "dapo" if none is named.
    """

    name: ClassVar[str] = "wandb"

    def __init__(self, directory: RunDirectory, first_step: int | None) -> None:
        import wandb

        label = directory.path.resolve().name
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "dapo"),
            name=label,
            id=label,
            resume="never" if first_step is None else "allow",
            dir=str(directory.path),
            config=yaml.safe_load(directory.config_path.read_text(encoding="utf-8")),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (TensorBoard, WeightsAndBiases)}


def find_tracker(name: str) -> type[Tracker]:
    """The tracker of this name. Raises UserError naming the nearest one."""
    if name in TRACKERS:
        return TRACKERS[name]
    near = difflib.get_close_matches(name, TRACKERS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(TRACKERS)}"
    raise UserError(f"trackers: there is no tracker {name!r}; {hint}")

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dapo.run.directory import RunDirectory
from dapo.run.metrics import MetricsLog
from dapo.run.rollouts import RolloutLog
from dapo.run.trackers import TRACKERS


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {"seed": 1})


def lines(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics_path.read_text(encoding="utf-8").splitlines()]


def write(run: RunDirectory, steps: range, value: float = 0.0, **settings: Any) -> None:
    log = MetricsLog(run, **settings)
    for step in steps:
        log.log(step, {"score/mean": step / 10 + value})
    log.close()


def tensorboard_points(run: RunDirectory) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run.tensorboard_path))
    events.Reload()
    return [(point.step, round(point.value, 3)) for point in events.Scalars("score/mean")]


def test_a_step_is_a_line_on_the_disk_at_once(run: RunDirectory) -> None:
    log = MetricsLog(run, trackers=())
    log.log(1, {"score/mean": 0.5, "tokens": 12})
    assert lines(run) == [{"step": 1, "score/mean": 0.5, "tokens": 12}]
    log.close()


def test_nan_and_infinity_are_null(run: RunDirectory) -> None:
    log = MetricsLog(run, trackers=())
    log.log(1, {"a": float("nan"), "b": float("-inf"), "c": 1.0})
    log.close()
    assert run.metrics_path.read_text(encoding="utf-8") == '{"step": 1, "a": null, "b": null, "c": 1.0}\n'


def test_tensorboard_gets_the_same_figures(run: RunDirectory) -> None:
    write(run, range(1, 4))
    assert tensorboard_points(run) == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_resumed_run_replaces_the_steps_after_its_checkpoint(run: RunDirectory) -> None:
    write(run, range(1, 6))
    rollouts = RolloutLog(run)
    for step in range(1, 6):
        rollouts.write(step, [{"step": step}])
        rollouts.write_evaluation(step, [{"step": step}])
    (run.rollouts_path / "notes.txt").touch()
    write(run, range(4, 6), value=1.0, resume_step=3)
    assert [(line["step"], line["score/mean"]) for line in lines(run)] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
        (4, 1.4),
        (5, 1.5),
    ]
    assert tensorboard_points(run) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 1.4), (5, 1.5)]
    kept = sorted(path.stem for path in run.rollouts_path.iterdir())
    assert kept == [
        *(f"eval_00000{step}" for step in (1, 2, 3)),
        "notes",
        *(f"step_00000{step}" for step in (1, 2, 3)),
    ]


def test_a_line_cut_short_by_a_kill_goes_on_resume(run: RunDirectory) -> None:
    write(run, range(1, 3), trackers=())
    with run.metrics_path.open("a") as file:
        file.write('{"step": 3, "sco')
    write(run, range(3, 4), trackers=(), resume_step=2)
    assert [line["step"] for line in lines(run)] == [1, 2, 3]


def test_a_damaged_line_is_named(run: RunDirectory) -> None:
    run.metrics_path.write_text('{"step": 1}\nscribble\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 .*remove that line"):
        MetricsLog(run, trackers=(), resume_step=2)


def test_an_unknown_tracker_is_refused_with_the_nearest_name(run: RunDirectory) -> None:
    with pytest.raises(ValueError, match="did you mean 'tensorboard'"):
        MetricsLog(run, trackers=("tensorbord",))


def test_a_tracker_that_is_not_installed_is_refused(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ValueError, match=r"'wandb' cannot be loaded.*pip install wandb"):
        MetricsLog(run, trackers=("wandb",))


def test_a_tracker_that_cannot_start_costs_a_warning(run: RunDirectory) -> None:
    run.tensorboard_path.write_text("a file where TensorBoard wants a directory")
    with pytest.warns(RuntimeWarning, match="'tensorboard' failed"):
        write(run, range(1, 3))
    assert len(lines(run)) == 2


class Failing:
    """A tracker whose service goes away after the first step."""

    name: ClassVar[str] = "failing"
    calls: ClassVar[list[int]] = []

    def __init__(self, directory: RunDirectory, first_step: int | None) -> None:
        self.calls.clear()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.calls.append(step)
        if step > 1:
            raise ConnectionError("no route to host")

    def close(self) -> None:
        self.calls.append(-1)


def test_a_tracker_that_fails_is_dropped_after_one_warning(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS, "failing", Failing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write(run, range(1, 5), trackers=("failing", "tensorboard"))
    ours = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    assert len(ours) == 1
    assert "no route to host" in ours[0]
    assert Failing.calls == [1, 2]
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4]
    assert [step for step, _ in tensorboard_points(run)] == [1, 2, 3, 4]

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dapo.run.checkpoints import (
    CheckpointError,
    Checkpoints,
    CheckpointSettings,
    best_checkpoint,
    latest_checkpoint,
)


def writer(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "trainer").mkdir()
        (path / "trainer" / "values.json").write_text(text)

    return write


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def content(path: Path | None) -> str:
    assert path is not None
    return (path / "trainer" / "values.json").read_text()


def test_the_latest_ones_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.latest() is None
    for step in (9, 10, 2_000_000, 10_000_000):
        path = checkpoints.save(step, writer(str(step)))
        assert content(path) == str(step)
        assert checkpoints.latest() == path
        assert checkpoints.step_of(path) == step
    assert names(tmp_path / "checkpoints") == ["step_10000000", "step_2000000"]
    Checkpoints(tmp_path / "checkpoints", keep=1).save(11_000_000, writer("last"))
    assert names(tmp_path / "checkpoints") == ["step_11000000"]


def test_everything_is_durable_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    path = Checkpoints(tmp_path, keep=1).save(1, writer("x"))
    written = {path, path / "trainer", path / "trainer" / "values.json", tmp_path}
    assert {item.stat().st_ino for item in written} <= synced


def test_the_old_ones_stay_until_the_new_one_is_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, writer("1"))

    def look(path: Path) -> None:
        assert path.parent == tmp_path
        assert checkpoints.latest() == tmp_path / "step_000001"

    checkpoints.save(2, look)
    assert names(tmp_path) == ["step_000002"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, writer("old"))
    assert content(checkpoints.save(1, writer("new"))) == "new"
    assert names(tmp_path) == ["step_000001"]


def test_a_replacement_that_was_interrupted_leaves_the_old_one(tmp_path: Path) -> None:
    """The moment between the two renames, as a kill leaves it."""
    Checkpoints(tmp_path, keep=2).save(1, writer("old"))
    (tmp_path / "step_000001").rename(tmp_path / "step_000001.replaced")
    (tmp_path / "step_000001.partial").mkdir()
    assert content(Checkpoints(tmp_path, keep=2).latest()) == "old"
    assert names(tmp_path) == ["step_000001"]


def test_the_best_one_stays_until_a_better_one_comes(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    kept = []
    for step, value in [(1, 0.5), (2, 0.9), (3, 0.9), (4, 0.8), (5, 0.95), (6, 0.1)]:
        checkpoints.save(step, writer(str(step)))
        during = names(tmp_path)
        checkpoints.mark_best(step, value)
        kept.append((during, names(tmp_path)))
    numbers = [
        tuple("".join(name[-1] for name in found if name != "best.json") for found in pair) for pair in kept
    ]
    assert numbers == [("1", "1"), ("12", "2"), ("23", "23"), ("24", "24"), ("25", "5"), ("56", "56")]
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "step": 5,
        "value": 0.95,
        "name": "step_000005",
    }
    assert content(checkpoints.best()) == "5"
    assert checkpoints.best() == best_checkpoint(tmp_path) == tmp_path / "step_000005"


def test_marking_says_whether_it_is_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=5)
    assert checkpoints.best() is None
    for step in (1, 2, 3):
        checkpoints.save(step, writer(str(step)))
    assert [checkpoints.mark_best(step, 0.5) for step in (2, 3, 1, 2)] == [True, False, True, False]
    assert checkpoints.best() == tmp_path / "step_000001"
    assert [checkpoints.holds(step) for step in (3, 4)] == [True, False]
    assert not checkpoints.mark_best(4, 1.0)
    assert not checkpoints.mark_best(3, float("nan"))
    assert not checkpoints.mark_best(3, float("inf"))
    assert checkpoints.best() == tmp_path / "step_000001"


def test_the_order_of_marks_and_hearing_them_again_make_no_difference(tmp_path: Path) -> None:
    values = {1: 0.2, 2: 0.7, 3: 0.1, 4: 0.7, 5: 0.6, 6: 0.7}
    checkpoints = Checkpoints(tmp_path, keep=6)
    for step in values:
        checkpoints.save(step, writer(str(step)))
    for seed in range(10):
        (tmp_path / "best.json").unlink(missing_ok=True)
        for step in random.Random(seed).sample([*values, *values], 12):
            checkpoints.mark_best(step, values[step])
        assert checkpoints.best() == tmp_path / "step_000002"


def test_a_resumed_run_hears_its_evaluations_again_and_nothing_changes(tmp_path: Path) -> None:
    values = {1: 0.5, 2: 0.8, 3: 0.6, 4: 0.7}
    checkpoints = Checkpoints(tmp_path, keep=1)
    for step, value in values.items():
        checkpoints.save(step, writer(str(step)))
        checkpoints.mark_best(step, value)
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    resumed = Checkpoints(tmp_path, keep=1)
    assert [resumed.mark_best(step, value) for step, value in values.items()] == [False, True, False, False]
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before
    shutil.rmtree(tmp_path / "step_000002")  # Somebody needed the room.
    assert resumed.best() is None
    assert [resumed.mark_best(step, value) for step, value in values.items()] == [False, False, False, True]


def test_a_step_measured_again_has_its_new_value(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2):
        checkpoints.save(step, writer(str(step)))
        checkpoints.mark_best(step, 0.5 + step / 10)
    assert checkpoints.mark_best(2, 0.55)
    assert checkpoints.mark_best(1, 0.6)
    assert checkpoints.best() == tmp_path / "step_000001"


def test_without_keep_best_none_is_marked_and_none_stays(tmp_path: Path) -> None:
    for keep_best in (True, False):
        checkpoints = Checkpoints(tmp_path, keep=1, keep_best=keep_best)
        checkpoints.save(1, writer("1"))
        assert checkpoints.mark_best(1, 0.9) is keep_best
    checkpoints.save(2, writer("2"))
    assert names(tmp_path) == ["step_000002"]
    assert checkpoints.best() is None


@pytest.mark.parametrize("text", ["", '{"step": 1', "[1, 2]", '{"step": 1}'])
def test_a_damaged_mark_is_found_when_the_run_is_opened(tmp_path: Path, text: str) -> None:
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"best\.json is damaged .*remove it"):
        Checkpoints(tmp_path, keep=1)


def test_the_size_is_that_of_all_files(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        (path / "trainer").mkdir()
        (path / "trainer" / "tensors.safetensors").write_bytes(b"x" * 1000)
        (path / "config.json").write_bytes(b"y" * 23)

    path = Checkpoints(tmp_path, keep=1).save(1, write)
    assert Checkpoints.size_of(path) == 1023


def test_half_a_removal_never_passes_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, writer("1"))

    def killed(path: Path) -> None:
        (path / "trainer" / "values.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        checkpoints.save(2, writer("2"))
    assert names(tmp_path) == ["step_000001.removed", "step_000002"]
    Checkpoints(tmp_path, keep=1)
    assert names(tmp_path) == ["step_000002"]


def test_another_error_of_the_writer_rises_and_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, writer("1"))

    def interrupted(path: Path) -> None:
        (path / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, interrupted)
    assert names(tmp_path) == ["step_000001"]


def test_reading_leaves_a_save_in_progress_alone(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=2).save(1, writer("1"))
    (tmp_path / "step_000002.partial").mkdir()
    (tmp_path / "step_000003").touch()  # a file is no checkpoint
    assert latest_checkpoint(tmp_path) == tmp_path / "step_000001"
    assert latest_checkpoint(tmp_path / "nowhere") is None
    assert (tmp_path / "step_000002.partial").is_dir()


def test_a_name_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="step_ and a number"):
        Checkpoints.step_of(tmp_path / "final")


@pytest.mark.parametrize(("field", "value"), [("every", -1), ("keep", 0)])
def test_settings_name_the_field(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{field} must be at least"):
        CheckpointSettings(**{field: value})


SIZE, PIECE = 64, 32


def bytes_of(step: int, version: int) -> bytes:
    return random.Random(f"{step}/{version}").randbytes(SIZE)


def chunk_writer(step: int, version: int) -> Callable[[Path], None]:
    """Writes a checkpoint of two files piece by piece, every piece an operation that may fail half-way."""

    def write(path: Path) -> None:
        (path / "trainer").mkdir()
        whole = bytes_of(step, version)
        for name in ("model", "trainer/state"):
            descriptor = os.open(path / name, os.O_WRONLY | os.O_CREAT)
            try:
                for start in range(0, SIZE, PIECE):
                    os.write(descriptor, whole[start : start + PIECE])
            finally:
                os.close(descriptor)

    return write


class History:
    """A run with one checkpoint to keep, and what must hold wherever it is cut short.

    Step 3 is saved twice, and the best step changes hands.
    """

    EVENTS = ((1, 0.3), (2, 0.9), (3, 0.5), (3, 0.5), (4, 0.95))

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.saving: tuple[int, int] = (0, 0)
        self.saved: list[tuple[int, int]] = []
        self.values: dict[int, float] = {}

    def go(self) -> None:
        checkpoints = Checkpoints(self.directory, keep=1)
        for version, (step, value) in enumerate(self.EVENTS):
            self.saving = (step, version)
            checkpoints.save(step, chunk_writer(step, version))
            self.saved.append(self.saving)
            checkpoints.mark_best(step, value)
            self.values[step] = value

    def check(self) -> None:
        """What a new process finds: whole checkpoints only, the latest one, and the right best one."""
        checkpoints = Checkpoints(self.directory, keep=1)
        steps = {f"step_{step:06d}" for step in range(1, 5)}
        assert set(names(self.directory)) <= {*steps, "best.json"}  # No leftovers.
        found = {path.name: (path / "model").read_bytes() for path in self.directory.glob("step_*")}
        for name, whole in found.items():
            step = int(name[5:])
            assert (self.directory / name / "trainer" / "state").read_bytes() == whole
            assert whole in [bytes_of(step, version) for version in range(len(self.EVENTS))]
        latest = checkpoints.latest()
        allowed = {*self.saved[-1:], self.saving} if self.saved else {self.saving, None}
        assert (None if latest is None else self._identity(latest)) in allowed
        heard = dict(self.values)
        for step, value in self.EVENTS[: len(self.saved)]:  # As metrics.jsonl has them.
            checkpoints.mark_best(step, value)
            heard[step] = value
        best = max(heard, key=lambda step: (heard[step], -step), default=None)
        assert checkpoints.best() == (None if best is None else self.directory / f"step_{best:06d}")
        checkpoints.save(9, chunk_writer(9, 9))
        assert names(self.directory) == sorted(
            ["step_000009"] if best is None else ["best.json", f"step_{best:06d}", "step_000009"]
        )

    @staticmethod
    def _identity(path: Path) -> tuple[int, int]:
        step, whole = Checkpoints.step_of(path), (path / "model").read_bytes()
        return next((step, version) for version in range(10) if bytes_of(step, version) == whole)


@pytest.mark.parametrize("fault", ["disk error", "kill"])
def test_whatever_operation_fails_the_checkpoints_are_whole(quick_path: Path, disk: Any, fault: str) -> None:
    for number in count(1):
        history = History(quick_path / str(number))
        with disk.failing(number, fault):
            history.go()
        history.check()
        if not disk.failed:
            break
        shutil.rmtree(history.directory)
    assert number > 100
    assert history.saved == [(1, 0), (2, 1), (3, 2), (3, 3), (4, 4)]


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from tokenizers import Tokenizer, models
from dapo.run.checkpoints import CheckpointError, Checkpoints
from dapo.run.state import save_state

words = {f"word{number}": number for number in range(5000)}
writers = {
    "state": lambda path: save_state(path / "trainer", {"weights": torch.ones(100_000)}, {}),
    "file": lambda path: (path / "config.json").write_text(" " * 100_000),
    "tokenizer": lambda path: Tokenizer(models.WordLevel(words, "word0")).save(str(path / "tokenizer.json")),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name, write in writers.items():
    checkpoints = Checkpoints(Path(sys.argv[1]) / name / "checkpoints", keep=1)
    for _ in range(2):
        try:
            checkpoints.save(2, write)
        except CheckpointError as error:
            print(name, str(error), sep="|")
        checkpoints.save(1, lambda path: save_state(path / "trainer", {"ones": torch.ones(7)}, {"step": 1}))
"""


def run_python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on file sizes")
def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    from dapo.run.state import load_state

    output, errors = run_python(FULL_DISK, str(tmp_path)).communicate(timeout=60)
    reports = [line.split("|") for line in output.splitlines()]
    assert [name for name, _ in reports] == ["state", "state", "file", "file", "tokenizer", "tokenizer"], (
        errors
    )
    for place, (name, message) in enumerate(reports):
        checkpoints = tmp_path / name / "checkpoints"
        assert f"checkpoint of step 2 could not be written to {checkpoints / 'step_000002'}" in message
        assert "File too large" in message
        assert "GiB are free" in message
        if place % 2 == 0:
            assert "No checkpoint was written before" in message
        else:
            run = tmp_path / name
            assert f"last valid checkpoint is {checkpoints / 'step_000001'}" in message
            assert message.endswith(f"dapo train {run / 'config.yaml'} run.dir={run} --resume")
        assert names(checkpoints) == ["step_000001"]
        tensors, values = load_state(checkpoints / "step_000001" / "trainer")
        assert values == {"step": 1}
        assert tensors["ones"].tolist() == [1.0] * 7


KILLED = """
import sys, time
from pathlib import Path
from dapo.run.checkpoints import Checkpoints

def write(path):
    (path / "model.safetensors").write_bytes(b"half of it")
    print("writing", flush=True)
    time.sleep(60)

Checkpoints(Path(sys.argv[1]), keep=1).save(2, write)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_in_the_middle_of_a_save_leaves_the_one_before(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=1).save(1, writer("whole"))
    process = run_python(KILLED, str(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert names(tmp_path) == ["step_000001", "step_000002.partial"]
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert content(checkpoints.latest()) == "whole"
    assert names(tmp_path) == ["step_000001"]
    checkpoints.save(2, writer("after"))
    assert content(checkpoints.latest()) == "after"


def test_a_directory_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)

    def write(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(CheckpointError, match=r"step 5 .*Permission denied.*run\.dir") as caught:
        checkpoints.save(5, write)
    assert isinstance(caught.value.__cause__, PermissionError)

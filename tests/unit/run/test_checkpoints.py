from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dapo.run.checkpoints import (
    CheckpointError,
    Checkpoints,
    CheckpointSettings,
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

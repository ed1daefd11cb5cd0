from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from dapo.run import directory as directory_module
from dapo.run.directory import RunDirectory, RunDirectoryError, latest_run, new_run_path

CONFIG = {"algorithm": "dapo", "prompts_per_step": 32, "optimizer": {"lr": 1e-4}, "note": "Übung"}


def test_a_new_run_holds_its_config_readable_without_the_package(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs" / "first", CONFIG)
    assert yaml.safe_load((tmp_path / "runs/first/config.yaml").read_text(encoding="utf-8")) == CONFIG
    assert run.rollouts_path.is_dir()
    assert run.checkpoints_path.is_dir()
    assert list(run.path.glob("*.partial")) == []


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    assert RunDirectory.create(tmp_path, CONFIG).config_path.is_file()


def test_a_directory_with_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, CONFIG)
    with pytest.raises(RunDirectoryError, match=r"already holds a run.*--resume.*run\.dir"):
        RunDirectory.create(tmp_path, {"algorithm": "grpo"})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8")) == CONFIG


def test_a_directory_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunDirectoryError, match=r"not empty.*run\.dir"):
        RunDirectory.create(tmp_path, CONFIG)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(RunDirectoryError, match=r"is a file.*run\.dir"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_a_config_that_is_not_plain_data_leaves_no_directory_behind(tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError):
        RunDirectory.create(tmp_path / "run", {"path": Path("x")})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("made", "missing"), [([], "directory is missing"), (["run"], "config.yaml is missing")]
)
def test_open_names_what_is_missing(tmp_path: Path, made: list[str], missing: str) -> None:
    for name in made:
        (tmp_path / name).mkdir()
    with pytest.raises(RunDirectoryError, match=missing):
        RunDirectory.open(tmp_path / "run")


def test_open_finds_what_create_made(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", CONFIG) as made:
        made.rollouts_path.rmdir()
    with RunDirectory.open(tmp_path / "run") as run:
        assert run.config_path == made.config_path
        assert run.read_config() == CONFIG
        assert run.rollouts_path.is_dir()


def test_the_config_can_be_replaced_by_the_one_a_resumed_run_goes_on_with(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, CONFIG)
    run.write_config({**CONFIG, "num_steps": 50})
    assert RunDirectory(tmp_path).read_config() == {**CONFIG, "num_steps": 50}


@pytest.mark.parametrize("text", ["- a list", "a: [1", b"\xff\xfe\x00"])
def test_a_damaged_config_is_named(tmp_path: Path, text: str | bytes) -> None:
    RunDirectory.create(tmp_path, CONFIG).close()
    (tmp_path / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunDirectoryError, match=r"config\.yaml is damaged"):
        RunDirectory(tmp_path).read_config()


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path, CONFIG)
    held = rf"written by process {os.getpid()} on {re.escape(socket.gethostname())}; wait.*run\.dir"
    for _ in range(2):
        with pytest.raises(RunDirectoryError, match=held):
            RunDirectory.open(tmp_path)
    assert RunDirectory(tmp_path).read_config() == CONFIG  # Who only reads is not in the way.
    first.close()
    first.close()
    assert not (tmp_path / ".writer.json").exists()
    with RunDirectory.open(tmp_path), pytest.raises(RunDirectoryError, match="being written"):
        RunDirectory.open(tmp_path)
    RunDirectory.open(tmp_path).close()


def test_of_two_that_create_a_run_at_once_the_later_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one comes and goes between the look of the second at the directory and its lock."""
    take_lock = RunDirectory._take_lock

    def after_the_first(directory: RunDirectory) -> None:
        monkeypatch.setattr(RunDirectory, "_take_lock", take_lock)
        RunDirectory.create(tmp_path, CONFIG).close()
        take_lock(directory)

    monkeypatch.setattr(RunDirectory, "_take_lock", after_the_first)
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        RunDirectory.create(tmp_path, {"algorithm": "grpo"})
    assert RunDirectory.open(tmp_path).read_config() == CONFIG


def test_a_lock_that_names_nobody_yet_is_a_lock(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, CONFIG)
    (run.path / ".writer.json").unlink()
    with pytest.raises(RunDirectoryError, match="written by another process"):
        RunDirectory.open(tmp_path)


def test_a_directory_that_cannot_be_locked_is_explained(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, CONFIG).close()
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunDirectoryError, match=r"cannot be locked.*directory.*run\.dir"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize("folder", ["rollouts", "checkpoints"])
def test_who_fails_holds_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Not even while somebody looks at the error, as a notebook does: a traceback keeps everything alive."""
    make = Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        make(path, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(PermissionError) as creating:
        patch.setattr(Path, "mkdir", refuse)
        RunDirectory.create(tmp_path, CONFIG)
    RunDirectory.create(tmp_path, CONFIG).close()
    with monkeypatch.context() as patch, pytest.raises(PermissionError) as opening:
        patch.setattr(Path, "mkdir", refuse)
        RunDirectory.open(tmp_path)
    RunDirectory.open(tmp_path).close()
    assert creating.traceback and opening.traceback


HOLDER = """
import os, sys, time
from pathlib import Path
from dapo.run.directory import RunDirectory

run = RunDirectory.create(Path(sys.argv[1]), {"seed": 1})
if sys.argv[2] == "with a child":
    if os.fork() == 0:
        os.write(1, b"child %d\\n" % os.getpid())
        time.sleep(60)
        os._exit(0)
os.write(1, b"holding\\n")
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and fork")
@pytest.mark.parametrize("how", ["alone", "with a child"])
def test_another_process_is_named_and_its_lock_dies_with_it(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(1 if how == "alone" else 2)]
    assert "holding\n" in said
    children = [int(line.split()[1]) for line in said if line.startswith("child")]
    with pytest.raises(RunDirectoryError, match=f"being written by process {process.pid} on"):
        RunDirectory.open(path)
    try:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        with RunDirectory.open(path) as run:
            assert run.read_config() == {"seed": 1}
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.parametrize("fault", ["disk error", "kill"])
@pytest.mark.parametrize("empty_directory_given", [True, False])
def test_a_create_that_was_cut_short_anywhere_blocks_nothing(
    quick_path: Path, disk: Any, fault: str, empty_directory_given: bool
) -> None:
    whole = []
    for number in count(1):
        path = quick_path / f"run-{number}"
        if empty_directory_given:
            path.mkdir()
        with disk.failing(number, fault):
            RunDirectory.create(path, CONFIG).close()
        whole.append((path / "config.yaml").exists())
        run = RunDirectory.open(path) if whole[-1] else RunDirectory.create(path, CONFIG)
        assert run.read_config() == CONFIG
        assert (run.rollouts_path.is_dir(), run.checkpoints_path.is_dir()) == (True, True)
        run.close()
        assert sorted(entry.name for entry in path.iterdir()) == [
            ".lock",
            "checkpoints",
            "config.yaml",
            "rollouts",
        ]
        if not disk.failed:
            break
    assert number > 10
    if fault == "kill":
        assert (whole[0], whole == sorted(whole)) == (False, True)  # One operation makes it a run.


@pytest.mark.parametrize("left", ["rollouts/step_000001.jsonl", "checkpoints/step_000001", "notes", "tb"])
def test_what_create_would_not_leave_is_not_taken_for_its_own(tmp_path: Path, left: str) -> None:
    (tmp_path / "run" / left).mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match="not empty"):
        RunDirectory.create(tmp_path / "run", CONFIG)
    assert not (tmp_path / "run" / ".lock").exists()


def test_the_summary_is_standard_json(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, CONFIG)
    run.write_summary({"accuracy_after": 0.96, "loss": float("nan"), "curve": [0.5, float("inf")]})
    text = run.summary_path.read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text) == {"accuracy_after": 0.96, "loss": None, "curve": [0.5, None]}


def test_a_summary_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory.create(tmp_path, CONFIG)
    run.write_summary({"steps": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run.write_summary({"steps": 2})
    assert json.loads(run.summary_path.read_text(encoding="utf-8")) == {"steps": 1}
    assert list(tmp_path.glob("*.partial")) == []


def test_latest_run_goes_by_the_time_in_the_name(tmp_path: Path) -> None:
    for name in ["gsm8k-20260102-000000", "gsm8k-20260101-235959", "gsm8k-lora-20270101-000000", "gsm8k-old"]:
        RunDirectory.create(tmp_path / name, CONFIG)
    (tmp_path / "gsm8k-20280101-000000").mkdir()  # no config.yaml: no run
    assert latest_run(tmp_path, "gsm8k") == tmp_path / "gsm8k-20260102-000000"
    assert latest_run(tmp_path, "gsm8k-lora") == tmp_path / "gsm8k-lora-20270101-000000"
    assert latest_run(tmp_path, "gsm") is None
    assert latest_run(tmp_path / "nowhere", "gsm8k") is None


def test_a_new_path_is_found_again(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "axb-20990101-000000", CONFIG)
    path = new_run_path(tmp_path, "a.b")
    assert re.fullmatch(r"a\.b-\d{8}-\d{6}", path.name)
    RunDirectory.create(path, CONFIG)
    assert latest_run(tmp_path, "a.b") == path


class Clock:
    """A second that does not pass."""

    @staticmethod
    def now() -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5)


def test_runs_of_one_second_get_directories_of_their_own_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "datetime", Clock)
    paths = [new_run_path(tmp_path / "runs", "gsm8k") for _ in range(11)]
    stem = "gsm8k-20260102-030405"
    assert [path.name for path in paths] == [stem, *(f"{stem}-{number}" for number in range(2, 12))]
    for path in paths:
        RunDirectory.create(path, CONFIG)
        assert latest_run(tmp_path / "runs", "gsm8k") == path
    RunDirectory.create(tmp_path / "runs" / "gsm8k-20260102-030406", CONFIG)
    assert latest_run(tmp_path / "runs", "gsm8k") == tmp_path / "runs" / "gsm8k-20260102-030406"

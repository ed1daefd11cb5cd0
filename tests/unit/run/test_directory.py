from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest
import yaml

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
    made = RunDirectory.create(tmp_path / "run", CONFIG)
    assert RunDirectory.open(tmp_path / "run").config_path == made.config_path


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

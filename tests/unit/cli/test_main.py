"""The command line as a user meets it, in processes of its own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def dapo(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dapo", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    values = {
        "name": "tiny",
        "model": {"path": str(tiny_model), "template": "plain"},
        "data": {"train": "arithmetic", "limit": 16},
        "num_steps": 1,
        "prompts_per_step": 2,
        "group_size": 2,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 8,
        "eval": {"limit": 4},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(n.split('.')[0] for n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light() -> None:
    assert not imported_by("import dapo") & {"ray", "vllm", "transformers", "datasets", "torch"}


def test_help_needs_no_torch() -> None:
    statement = "import dapo.cli.main as m, contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    statement += " try: m.app(['--help'])\n except SystemExit: pass\n"
    code = f"import sys\n{statement}\nprint(*sorted(n.split('.')[0] for n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"ray", "vllm", "transformers", "datasets", "torch", "pydantic"}


def test_help_names_the_commands() -> None:
    done = dapo("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("train", "eval", "sft"))


def test_what_the_user_can_put_right_is_a_message_and_no_traceback(recipe: Path) -> None:
    done = dapo("train", str(recipe), "group_size=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: group_size must be at least 2")
    assert "Traceback" not in done.stderr


def test_a_dry_run_stops_before_anything_is_written(recipe: Path, tmp_path: Path) -> None:
    done = dapo("train", str(recipe), "--dry-run", "seed=3", cwd=tmp_path)
    assert done.returncode == 0
    assert "seed: 3" in done.stdout
    assert "2 prompts x 2 completions = 4 samples" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_train_resume_and_a_directory_that_is_taken(recipe: Path, tmp_path: Path) -> None:
    first = dapo("train", str(recipe), "run.dir=out", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "run directory: out" in first.stdout
    again = dapo("train", str(recipe), "run.dir=out", cwd=tmp_path)
    assert again.returncode == 2
    assert "already holds a run; continue it with --resume" in again.stderr
    longer = dapo("train", str(recipe), "run.dir=out", "num_steps=2", "--resume", cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert "2 steps" in longer.stdout
    command = next(line for line in longer.stdout.splitlines() if line.startswith("next: ")).split()[1:]
    assert command[:2] == ["dapo", "eval"]
    measured = dapo(*command[1:], "-o", "figures", cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert "avg@8" in measured.stdout
    assert len((tmp_path / "figures/completions.jsonl").read_text().splitlines()) == 256 * 8


def test_runs_are_named_and_found_again(recipe: Path, tmp_path: Path) -> None:
    assert dapo("train", str(recipe), cwd=tmp_path).returncode == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("tiny-")
    resumed = dapo("train", str(recipe), "--resume", "num_steps=2", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"run directory: runs/{run.name}" in resumed.stdout
    missing = dapo("train", str(recipe), "--resume", "name=other", cwd=tmp_path)
    assert missing.returncode == 2
    assert "there is no run of 'other'" in missing.stderr


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["dapo", *sys.argv[2:]]
runpy.run_module("dapo", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("limit", "what"),
    [(80_000, "the checkpoint of step 3 could not be written"), (6_000, "could not be written to")],
)
def test_a_full_disk_loses_nothing_and_says_how_to_go_on(
    recipe: Path, tmp_path: Path, limit: int, what: str
) -> None:
    """A file that may not grow stands in for a full disk: the same errors at the same places."""
    arguments = ["train", str(recipe), "run.dir=out", "checkpoint.every=1", "run.trackers=[]"]
    assert dapo(*arguments, "num_steps=2", cwd=tmp_path).returncode == 0
    longer = [*arguments, "num_steps=4", "--resume"]
    full = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *longer], capture_output=True, text=True, cwd=tmp_path
    )
    assert full.returncode == 2, full.stderr
    assert what in full.stderr and "Traceback" not in full.stderr
    assert "The last valid checkpoint is out/checkpoints/step_000002" in full.stderr
    command = shlex.split(full.stderr.rpartition("go on from it with: ")[2])
    assert dapo(*command[1:], "num_steps=4", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out/checkpoints/step_000004").is_dir()

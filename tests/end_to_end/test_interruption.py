"""A run that is stopped, asked to stop, or killed goes on to the numbers of one that was left alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe
from dapo.recipe.text import RecipeError

ROOT = Path(__file__).parents[2]
STEPS = 4


def recipe(model: Path, run: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "interrupted",
        "model": {"path": str(model), "template": "plain"},
        "data": {"train": {"task": "arithmetic", "train_size": 64, "eval_size": 8}},
        "reward": f"{__name__}:parity",
        "grading": {"check_golds": 0},  # The reward looks at lengths only.
        "num_steps": STEPS,
        "prompts_per_step": 4,
        "group_size": 4,
        "updates_per_step": 2,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 24,
        "optimizer": {"lr": 1e-3, "schedule": {"kind": "linear"}},
        "sampling": {"max_staleness": 1, "ledger": {"enabled": True}},
        "generation": {"slots": 32},
        "eval": {"every": 2, "completions": 2},
        "checkpoint": {"every": 1},
        "run": {"dir": str(run), "trackers": []},
        **changes,
    }


def parity(completion: Any, example: Any) -> bool:
    """A verdict that a random model gets right about half of the time."""
    return len(completion) % 2 == 0


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if not k.startswith(("time/", "perf/", "reward/latency"))}
        for line in lines
    ]


def weights(run: Path) -> bytes:
    return (run / f"checkpoints/step_{STEPS:06d}/model.safetensors").read_bytes()


def rollouts(run: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (run / "rollouts").iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    Run(load_recipe(recipe(tiny_model, run))).train()
    return run


def assert_same(run: Path, undisturbed: Path) -> None:
    assert metrics(run) == metrics(undisturbed)
    assert rollouts(run) == rollouts(undisturbed)
    assert weights(run) == weights(undisturbed)


def test_two_runs_of_one_seed_are_equal(tiny_model: Path, undisturbed: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    Run(load_recipe(recipe(tiny_model, again))).train()
    assert_same(again, undisturbed)
    other = tmp_path / "other"
    Run(load_recipe(recipe(tiny_model, other, seed=1))).train()
    assert metrics(other) != metrics(undisturbed)


@pytest.mark.parametrize("phase", ["sample", "annotate", "update", "evaluate"])
def test_a_run_that_is_asked_to_stop_is_saved_and_goes_on(
    phase: str, tiny_model: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes in the third step, or in the evaluation between the second and the third."""
    run = tmp_path / "run"
    settings = recipe(tiny_model, run, checkpoint={"every": 0})
    first = Run(load_recipe(settings))
    seen: list[str] = []
    show = first.trainer.on_phase

    def interrupt(name: str) -> None:
        seen.append(name)
        show(name)
        if name == phase and seen.count(phase) == (2 if phase == "evaluate" else 3):
            os.kill(os.getpid(), signal.SIGTERM)

    first.trainer.on_phase = interrupt
    monkeypatch.setattr(first.console, "phase", interrupt)
    summary = first.train()
    finished = {"sample": 2, "annotate": 3, "update": 3, "evaluate": 2}[phase]
    assert summary["interrupted"] == "SIGTERM"
    assert summary["steps"] == finished
    assert [path.name for path in (run / "checkpoints").glob("step_*")] == [f"step_{finished:06d}"]
    second = Run(load_recipe(settings), resume=True)
    assert second.trainer.step == finished
    summary = second.train()
    assert "interrupted" not in summary
    assert_same(run, undisturbed)


def test_a_terminal_shows_how_to_go_on_and_exits_0(
    tiny_model: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Ctrl-C in a process of its own; the command it prints finishes the run."""
    run, file = tmp_path / "run", tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe(tiny_model, run, num_steps=10_000)))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    file.write_text(file.read_text().replace(f"{__name__}:parity", f"{Path(__file__).stem}:parity"))
    process = subprocess.Popen(
        [sys.executable, "-m", "dapo", "train", str(file)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    lines = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_text().count("\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "stopped by SIGINT; the run is saved as it was after step" in output
    command = re.search(r"go on with: dapo (.*)", output)
    assert command
    done = len(list((run / "checkpoints").glob("step_*")))
    assert done
    saved = max(int(path.name[5:]) for path in (run / "checkpoints").glob("step_*"))
    arguments = [*shlex.split(command[1]), f"num_steps={saved + 1}"]
    finished = subprocess.run(
        [sys.executable, "-m", "dapo", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "num_steps" in finished.stdout  # what changed is said
    assert json.loads((run / "summary.json").read_text())["steps"] == saved + 1


def test_a_run_that_is_killed_goes_on_to_the_same_bits() -> None:
    """The benchmark's own comparison, with few kills: metrics, rollouts, every file of the checkpoint."""
    program = [sys.executable, str(ROOT / "benchmarks/crash.py"), "--quick", "--threads", "1"]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_another_recipe_is_refused_unless_forced(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Run(load_recipe(recipe(tiny_model, run, num_steps=1))).train()
    changed = recipe(tiny_model, run, optimizer={"lr": 5e-4, "schedule": {"kind": "linear"}})
    with pytest.raises(RecipeError, match=r"(?s)optimizer\.lr.*--force"):
        Run(load_recipe(changed), resume=True)
    resumed = Run(load_recipe(changed), resume=True, force=True)
    assert any("optimizer.lr" in note for note in resumed.notes)
    resumed.train()
    assert resumed.trainer.step == STEPS


def test_an_edited_config_file_is_another_recipe_too(tiny_model: Path, tmp_path: Path) -> None:
    """What it is compared with is what the checkpoint was trained with, not the file itself."""
    run = tmp_path / "run"
    Run(load_recipe(recipe(tiny_model, run, num_steps=1))).train()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.001", "lr: 0.002"))
    with pytest.raises(RecipeError, match=r"optimizer\.lr: 0.001 -> 0.002"):
        Run(load_recipe(config), resume=True)


def test_a_longer_budget_is_accepted(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Run(load_recipe(recipe(tiny_model, run, num_steps=1))).train()
    resumed = Run(load_recipe(recipe(tiny_model, run, num_steps=2)), resume=True)
    resumed.train()
    assert resumed.trainer.step == 2


def test_a_budget_of_tokens_ends_the_run_and_its_schedule(tiny_model: Path, tmp_path: Path) -> None:
    settings = recipe(tiny_model, tmp_path / "run", max_tokens=3000)
    del settings["num_steps"]
    run = Run(load_recipe(settings))
    summary = run.train()
    assert summary["tokens"] >= 3000
    steps = [line for line in metrics(tmp_path / "run") if "tokens/total" in line]
    assert steps[-2]["tokens/total"] < 3000
    rates = [line["optim/lr"] for line in steps]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.5 * rates[0]


def test_a_budget_of_hours_leaves_time_for_the_end(tiny_model: Path, tmp_path: Path) -> None:
    settings = recipe(tiny_model, tmp_path / "run", max_hours=8 / 3600)
    settings["optimizer"] = {"lr": 1e-3}
    del settings["num_steps"]
    started = time.monotonic()
    summary = Run(load_recipe(settings)).train()
    assert summary["steps"] > 0
    assert "accuracy_after" in summary
    assert time.monotonic() - started < 16


def test_one_writer_at_a_time(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = Run(load_recipe(recipe(tiny_model, run)))
    with pytest.raises(Exception, match=str(os.getpid())):
        Run(load_recipe(recipe(tiny_model, run)), resume=True)
    first.directory.close()

"""Data of which 2 % of the prompts carry a signal: the run reaches its end, and says why it is slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe

STEPS = 6


def rarely_right(completion: Any, example: Any) -> bool:
    """Wrong for all but one prompt in fifty, where every other length is right."""
    return int(example.answer) % 50 == 7 and len(completion) % 2 == 0


def train(model: Path, run: Path, **sampling: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    recipe = load_recipe(
        {
            "name": "hard",
            "model": {"path": str(model), "template": "plain"},
            "data": {"train": {"task": "arithmetic", "train_size": 600, "eval_size": 4, "largest": 400}},
            "reward": f"{__name__}:rarely_right",
            "grading": {"check_golds": 0},  # The reward is not about the sums.
            "num_steps": STEPS,
            "prompts_per_step": 4,
            "group_size": 4,
            "updates_per_step": 2,
            "max_prompt_tokens": 32,
            "max_completion_tokens": 8,
            "optimizer": {"lr": 1e-4},
            "sampling": {"max_rounds": 10, **sampling},
            "run": {"dir": str(run), "trackers": []},
        }
    )
    summary = Run(recipe).train()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return summary, [line for line in lines if "sampling/trained" in line]


@pytest.mark.parametrize("staleness", [0, 1])
def test_the_target_is_reached_and_the_reason_said(
    staleness: int, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, steps = train(tiny_model, tmp_path / "run", max_staleness=staleness)
    assert summary["steps"] == STEPS
    assert 0 < sum(step["sampling/trained"] for step in steps) < 4 * STEPS
    output = capsys.readouterr().out
    assert "the limit of sampling.max_rounds, for 4 that carry a signal" in output
    account = summary["account"]["groups"]
    fates = ("trained", "all_right", "all_wrong", "carried_out", "aborted")
    assert account["generated"] == sum(account[name] for name in fates)


def test_stop_ends_the_run_in_order(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, _ = train(tiny_model, tmp_path / "run", on_shortage="stop")
    assert summary["steps"] == 1
    assert "the run ends here" in capsys.readouterr().out
    assert (tmp_path / "run/checkpoints/step_000001").is_dir()


def test_keep_sampling_fills_every_step(tiny_model: Path, tmp_path: Path) -> None:
    _, steps = train(tiny_model, tmp_path / "run", on_shortage="keep_sampling")
    assert [step["sampling/trained"] for step in steps] == [4] * STEPS


def test_what_is_known_of_each_prompt_is_written_down(tiny_model: Path, tmp_path: Path) -> None:
    train(tiny_model, tmp_path / "run", ledger={"enabled": True})
    lines = [json.loads(line) for line in (tmp_path / "run/prompts.jsonl").read_text().splitlines()]
    known = {line["id"]: line for line in lines}
    assert sum(line["attempts"] for line in lines) > 100
    records = [
        json.loads(line)
        for path in (tmp_path / "run/rollouts").glob("step_*.jsonl")
        for line in path.read_text().splitlines()
    ]
    kept = {record["id"] for record in records if record["kept"]}
    assert kept
    others = [line["p_signal"] for name, line in known.items() if name not in kept]
    assert min(known[name]["p_signal"] for name in kept) > 2 * sum(others) / len(others)

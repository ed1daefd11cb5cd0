"""A whole training whose reward hangs, crashes and lies now and then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dapo
from benchmarks._treacherous import HARMLESS, WAYS
from tests.end_to_end import treacherous

pytestmark = pytest.mark.slow

Records = list[dict[str, Any]]


def records(run: Path, pattern: str) -> Records:
    files = sorted(run.glob(pattern))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    dapo.train(
        {
            "name": "treacherous",
            "model": {"path": str(tiny_model), "template": "plain"},
            "data": {"train": {"task": "arithmetic", "train_size": 64, "eval_size": 16}},
            "num_steps": 20,
            "prompts_per_step": 8,
            "group_size": 4,
            "updates_per_step": 2,
            "max_prompt_tokens": 32,
            "max_completion_tokens": 8,
            "reward": f"{treacherous.__name__}:starts_with_digit",
            "grading": {
                "workers": 2,
                "seconds_per_answer": 3.0,
                "memory_gb": 0.25,
                "error_score": 0.0,
                "min_gold_share": 0.9,  # It does its worst on gold answers, too.
            },
            "optimizer": {"lr": 1e-2, "weight_decay": 0.0},
            "eval": {"completions": 4},
            "run": {"dir": str(directory), "trackers": []},
        }
    )
    return directory


def failing(found: Records) -> list[str]:
    """The ways to misbehave that cost an answer its score, among these."""
    ways = [treacherous.way(record["completion"], record["id"]) for record in found]
    return [way for way in ways if way is not None and way != HARMLESS]


def test_every_other_answer_is_scored_right(run: Path) -> None:
    found = records(run, "rollouts/*.jsonl")
    assert set(failing(found)) == set(WAYS) - {HARMLESS}  # All of them happened.
    for record in found:
        if failing([record]):
            assert record["score"] == 0 and record["error"] is not None
        else:
            assert (record["score"], record["error"]) == (record["completion"][:1].isdigit(), None)


def test_the_run_reaches_its_accuracy(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == 20
    assert summary["accuracy_before"] < 0.6
    assert summary["accuracy_after"] > 0.85  # One answer in 56 cannot be graded right.


def test_the_metrics_count_what_went_wrong(run: Path) -> None:
    steps = [line for line in records(run, "metrics.jsonl") if "time/step" in line]
    ways = failing(records(run, "rollouts/step_*.jsonl"))
    hangs = ways.count("loops for ever")
    assert sum(step["reward/errors"] for step in steps) == len(ways) > 0
    assert sum(step["reward/timeouts"] for step in steps) == hangs > 0
    assert sum(step["reward/parse_failures"] for step in steps) == 0
    assert max(step["reward/latency_max"] for step in steps) >= 3.0
    assert all(0 < step["reward/latency"] <= step["reward/latency_max"] for step in steps)


def test_the_quarantine_holds_the_answers_concerned(run: Path) -> None:
    held = records(run, "quarantine.jsonl")
    ungraded = [record for record in records(run, "rollouts/*.jsonl") if record["error"] is not None]
    assert sorted((line["id"], line["text"]) for line in held) == sorted(
        (record["id"], record["completion"]) for record in ungraded
    )
    assert {line["reward"] for line in held} == {f"{treacherous.__name__}:starts_with_digit"}
    assert {line["failure"] for line in held} == {"error", "timeout", "memory", "died"}

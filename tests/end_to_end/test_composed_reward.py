"""Runs whose reward is composed: from the recipe to rollouts, metrics and the notes of the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import dapo
from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.types import Completion, Example


def starts_with_digit(completion: Completion, example: Example) -> bool:
    return completion.text[:1].isdigit()


def moody(completions: list[str], **columns: Any) -> list[float | None]:
    """TRL's signature; it has no opinion on texts that begin with an even digit."""
    return [None if text[:1] in "02468" else 0.5 for text in completions]


REWARD = {
    "score": starts_with_digit,
    "shaping": [
        {"reward": {"name": "length", "max_tokens": 8}, "weight": 0.4, "gate": "correct"},
        {"reward": moody, "weight": 0.2, "gate": "correct", "name": "mood"},
    ],
}


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "tiny",
        "model": {"path": str(tiny_model), "template": "plain"},
        "data": {"train": {"task": "arithmetic", "train_size": 32, "eval_size": 4}},
        "num_steps": 1,
        "prompts_per_step": 8,
        "group_size": 4,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 8,
        "algorithm": {"name": "dapo", "soft_overlong": None},
        "reward": REWARD,
        "run": {"dir": str(tmp_path / "run")},
    }


def test_parts_reach_the_rewards_and_the_verdict_is_what_it_was(recipe: dict[str, Any]) -> None:
    run = Path(dapo.train(recipe)["run"])
    records = [json.loads(line) for line in (run / "rollouts/step_000001.jsonl").read_text().splitlines()]
    right = [record for record in records if record["completion"][:1].isdigit()]
    assert 0 < len(right) < len(records)
    for record in records:
        assert record["score"] == (record in right) and record["error"] is None
        assert record["reward"] == pytest.approx(2 * record["score"] - 1 + sum(record["parts"].values()))
        # 0.4 x (1 - tokens / 8 - 1)
        assert record["parts"]["length"] == pytest.approx(-0.05 * record["tokens"] if record in right else 0)
    silent = [record for record in records if record["part_errors"]]
    assert silent == [record for record in right if record["completion"][0] in "02468"] != []
    assert all(record["parts"]["mood"] == (0 if record in silent else -0.1) for record in right)
    metrics = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])
    assert (metrics["reward/part_errors"], metrics["reward/errors"]) == (len(silent), 0)
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert recipe_to_plain(load_recipe(kept)) == kept and kept["reward"]["shaping"][1]["gate"] == "correct"
    assert dapo.train(recipe, resume=True, num_steps=2)["steps"] == 2


def test_the_terminal_warns_before_the_first_step(
    recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    dapo.train(recipe)
    assert "shaping alone" not in capsys.readouterr().out
    dapo.train(recipe, **{"sampling.filter_on": "reward", "run.dir": recipe["run"]["dir"] + "-2"})
    said = " ".join(capsys.readouterr().out.split())
    assert "groups that are all right (rewards up to 0.6 apart) are trained on" in said
    assert said.index("shaping alone") < said.index("step 1")

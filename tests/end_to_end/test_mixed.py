"""A file with rows of several kinds, trained as users do it: each is asked, limited and graded as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.rewards import choice, format, language, math, number, reflection, repetition
from dapo.types import Completion, Example

pytestmark = pytest.mark.slow

TEMPLATE = "{{ messages[0].content }}{{ 'Wait' if enable_thinking is defined and enable_thinking else '?' }}"

ROWS: dict[str, list[dict[str, Any]]] = {
    "number": [{"data_source": "openai/gsm8k", "answer": str(n)} for n in range(3)],
    "math": [{"reward_method": "llm_math", "answer": f"{n}/2"} for n in range(3)],
    "choice": [{"task": "choice", "answer": letter} for letter in "ABC"],
    "code": [{"reward_method": "llm_code", "answer": '["assert f(1) == 1"]'}],
}
THOUGHTFUL = [
    {"reward_method": "llm_math", "answer": str(n), "extra_info": {"enable_thinking_flag": True}}
    for n in range(3)
]
PLAIN = {"extra_info": {"enable_thinking_flag": False}}


def rows() -> list[dict[str, Any]]:
    """Each with a prompt of its own; the thoughtful ones ask what those of `math` ask."""
    kinds = [
        {"id": f"{kind} {place}", "prompt": f"{number_of_kind}+{place}", "language": "zh", **row}
        for number_of_kind, (kind, of_kind) in enumerate(ROWS.items())
        for place, row in enumerate(of_kind)
    ]
    kinds = [row | PLAIN if row["id"].startswith(("math", "code")) else row for row in kinds]
    thoughtful = [
        {"id": f"thoughtful {place}", "prompt": f"1+{place}", "language": "zh", **row}
        for place, row in enumerate(THOUGHTFUL)
    ]
    return kinds + thoughtful


def dapo(*arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "dapo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    values = {
        "name": "mixed",
        "model": {"path": str(tiny_model), "template": TEMPLATE},
        "data": {
            "train": {"path": "rows.jsonl", "id": "id"},
            "row_limits": {"thinking": 9, "plain": 6, "code": 3},
        },
        "reward": {
            "score": {"name": "mixed", "reflection": {"variant": "code"}},
            "shaping": [{"reward": {"name": "language", "rule": "yuan", "rows": "yuan"}, "weight": 1}],
        },
        "num_steps": 2,
        "prompts_per_step": 7,
        "group_size": 4,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 12,
        "algorithm": {"name": "dapo", "soft_overlong": None},
        "sampling": {"policy": "off"},
        "grading": {"workers": 2},
        "run": {"dir": "run"},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def records_of(run: Path) -> list[dict[str, Any]]:
    files = sorted(run.glob("rollouts/step_*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def written(record: Mapping[str, Any]) -> Completion:
    return Completion([], [], [], [], record["finish_reason"], record["completion"])


def test_rows_are_asked_limited_and_graded_as_they_say(recipe: Path, tmp_path: Path) -> None:
    said = dapo("train", "recipe.yaml", cwd=tmp_path)
    shaped = "with language"
    assert "13 prompts from 13 rows: 0 repeated" in said
    assert "3 ask for thoughts, 4 for an answer without" in said
    assert "completions end by what their rows say, 1 at 3, 3 at 6, 3 at 9, 6 at 12 tokens" in said
    for count in ("3 by number", "3 by math", "3 by choice", "1 by code", "3 by reflection"):
        assert f"{count} {shaped}" in said
    assert said.index("graded as their columns say") < said.index("step 1")

    records, by_id = records_of(tmp_path / "run"), {row["id"]: row for row in rows()}
    kinds = {record["id"].split()[0] for record in records}
    assert len(records) == 56 and kinds == {"number", "math", "choice", "code", "thoughtful"}
    limits = {"number": 12, "math": 6, "choice": 12, "code": 3, "thoughtful": 9}
    longest = dict.fromkeys(limits, 0)
    rewards = {"number": number.Reward(), "math": math.Reward(), "choice": choice.Reward()}
    judged = language.Reward(rule="yuan")
    for record in records:
        kind, row = record["id"].split()[0], by_id[record["id"]]
        example = Example(record["id"], [], row["answer"], row)
        longest[kind] = max(longest[kind], record["tokens"])
        assert record["error"] is None and not record["part_errors"]
        if kind == "thoughtful":
            assert record["parts"] == {"language": 0}
            continue
        assert record["parts"] == {"language": judged(written(record), example).score - 1}
        assert record["score"] == (rewards[kind](written(record), example).score if kind in rewards else 0)
        assert record["reward"] == pytest.approx(2 * record["score"] - 1 + record["parts"]["language"])
    assert longest == limits
    assert {record["parts"]["language"] for record in records} == {0, -1}

    grouped = groupby(records, lambda record: (record["step"], record["id"]))
    groups = [list(group) for (_, name), group in grouped if name.startswith("thoughtful")]
    side = (format.Reward(forbidden=("<|Assistant|>",)), language.Reward(rule="yuan"), repetition.Reward())
    reflecting = reflection.Reward(math.Reward(), side, "code")
    for group in groups:
        row = by_id[group[0]["id"]]
        expected = reflecting([written(record) for record in group], Example("", [], row["answer"], row))
        assert [record["reward"] for record in group] == [score.reward for score in expected]

    kept = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert recipe_to_plain(load_recipe(kept)) == kept
    assert kept["reward"]["score"] == {"name": "mixed", "reflection": {"variant": "code"}}


def test_a_row_that_no_reward_is_for_stops_the_run_before_it_begins(recipe: Path, tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"id": "x", "prompt": "1", "answer": "1", "data_source": "my_sums"}))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "dapo", "train", "recipe.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "no reward is known for data_source 'my_sums'" in " ".join(done.stderr.split())
    added = 'reward={name: mixed, rewards: {"my_*": number}}'
    said = dapo("train", "recipe.yaml", added, "num_steps=1", cwd=tmp_path)
    assert "4 by number" in said

"""`dapo reward check` as a user types it, and a training that does not begin with a reward that fits not."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dapo as package
from dapo.cli.reward_check import run
from dapo.errors import UserError
from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe

SHARED = os.environ.get("DAPO_SHARED")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

MINE = '''
from dataclasses import dataclass
from dapo.types import Completion, Example

@dataclass(frozen=True)
class Successor:
    """Which number comes next?"""

    def train(self) -> list[Example]:
        return [
            Example(str(n), [{"role": "user", "content": f"{n}+1=?"}], str(n + 1)) for n in range(10, 30)
        ]

    def eval(self) -> list[Example]:
        return []

    def reward(self, completion: Completion, example: Example) -> bool:
        return completion.text.strip() == example.answer

def marked(completion: Completion, example: Example) -> bool:
    return completion.text.rpartition("Answer:")[2].strip() == example.answer

def judge(completion: Completion, example: Example) -> bool:
    raise AssertionError("asking costs money")

judge.costly = True
'''


def dapo(*arguments: str, cwd: Path, code: int = 0) -> str:
    command = [sys.executable, "-m", "dapo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code < 2 else done.stderr


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "mine.py").write_text(MINE)
    values = {
        "name": "checked",
        "model": {"path": str(tiny_model), "template": "plain"},
        "data": {"train": {"task": "arithmetic", "train_size": 64, "eval_size": 8}},
        "num_steps": 1,
        "prompts_per_step": 2,
        "group_size": 2,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 8,
        "sampling": {"max_rounds": 1},
        "run": {"dir": str(tmp_path / "run"), "trackers": []},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))
    return values


def test_a_task_and_a_reward_that_fit(tmp_path: Path) -> None:
    output = dapo("reward", "check", "--task", "arithmetic,train_size=64", "-n", "20", cwd=tmp_path)
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["arithmetic,", "graded", "by", "dapo.rewards.number:Reward"]
    assert lines[1] == ["kind", "answers", "accepted", "wanted", "errors", "time-outs", "slowest"]
    assert lines[2][:6] == ["gold", "20", "20", "(100.0%)", ">=", "99%"] and lines[2][6] == "ok"
    [wrong] = [line for line in lines if line[:1] == ["wrong"]]
    assert wrong[:6] == ["wrong", "120", "0", "(0.0%)", "0", "%"]
    assert "\x1b" not in output
    assert "no code in an answer was executed" in output and "answers a second in this process" in output
    assert "refused The final answer is ..., <answer>...</answer>, the answer alone" in output


def test_a_reward_that_does_not_fit_ends_with_1(tmp_path: Path) -> None:
    arguments = ("reward", "check", "--task", "arithmetic,train_size=64", "--reward", "exact,marker='####'")
    output = dapo(*arguments, "-n", "10", cwd=tmp_path, code=1)
    assert "FAILED" in output and "gold: 10 refused, 3 of them:" in output
    assert output.count("the gold completion [") == 3
    everything = dapo(*arguments, "-n", "10", "--all", cwd=tmp_path, code=1)
    assert "gold: 10 refused:" in everything and everything.count("the gold completion [") == 10


def test_a_task_of_ones_own_without_golds(recipe: dict[str, Any], tmp_path: Path) -> None:
    arguments = ("reward", "check", "--task", "mine:Successor", "-n", "5")
    output = dapo(*arguments, cwd=tmp_path, code=1)
    assert "Successor, graded by mine:Successor.reward" in output
    assert "the task has no gold_completion: golds were made up" in output
    fitting = json.loads(dapo(*arguments, "--reward", "mine:marked", "--json", cwd=tmp_path))
    [task] = fitting["tasks"]
    assert (fitting["passed"], task["made_up"], task["workers"]) == (True, True, max(1, task["workers"]))
    assert task["kinds"]["gold"]["by_name"] == {"the gold completion": [5, 5]}
    assert task["kinds"]["wrong"]["accepted"] == task["kinds"]["adversarial"]["accepted"] == 0
    assert task["executed"] == [] and task["answers_per_second"] > 0


def test_a_recipe_with_shaping(recipe: dict[str, Any], tmp_path: Path) -> None:
    shaping = "[{reward: {name: length, max_tokens: 8}, weight: 2, gate: always}]"
    reward = f"reward={{score: {{name: number}}, shaping: {shaping}}}"
    data = "data.eval={task: arithmetic, train_size: 64, eval_size: 8, seed: 1}"
    output = dapo("reward", "check", "recipe.yaml", reward, data, "-n", "5", cwd=tmp_path)
    assert output.count("arithmetic, graded by dapo.rewards.number:Reward with length") == 2
    assert "5 examples" in output
    shaped = output.partition("\nshaping\n")[2]
    # 1, less 2 for the longest, less 1 for what soft overlong punishment takes at most.
    assert "right answers get rewards from -2 to 1" in shaped
    assert "shaping can outweigh the verdict" in shaped


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ((), {}, "name what to check"),
        ((), {"tasks": ["arithmetics"]}, "Did you mean 'arithmetic'?"),
        (("seed=1",), {"tasks": ["arithmetic"]}, "seed: without a recipe there are settings of grading only"),
        (("grading.worker=1",), {"tasks": ["arithmetic"]}, "Did you mean 'workers'?"),
        ((), {"tasks": ["arithmetic"], "examples": 0}, "-n must be at least 1"),
        ((), {"tasks": ["mine:Successor"], "reward": "mine:judge"}, "costly, and a check asks for some 50"),
        (("nothing.yaml",), {}, "there is no recipe 'nothing.yaml'"),
        (("a.yaml", "b.yaml"), {}, "one recipe at a time"),
    ],
)
def test_what_the_user_can_put_right_is_a_message(
    arguments: tuple[str, ...],
    given: dict[str, Any],
    message: str,
    recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"tasks": [], "reward": None, "examples": 5, "seconds": 60.0, "costly": False, **given}
    with pytest.raises(UserError) as refused:
        run(arguments, **options, everything=False, as_json=False)
    assert message in str(refused.value)


def test_a_terminal_gets_boxes_and_colours(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "dapo", "reward", "check", "--task", "countdown,train_size=8", "-n", "3"]
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=follower, stderr=follower, cwd=tmp_path, env=environment)
    os.close(follower)
    output = b""
    while chunk := _read(leader):
        output += chunk
    assert process.wait(60) == 0
    assert "\x1b[" in output.decode() and "─" in output.decode() and "adversarial" in output.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way of saying that the other end is closed
        return b""


# --- the gate before a training

REFUSING = {"reward": {"name": "exact", "marker": "####"}}


def test_a_training_does_not_begin_with_golds_that_are_wrong(recipe: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"grading: 0\.0% of 64 gold answers .*dapo\.rewards\.exact"):
        package.train(recipe, **REFUSING)
    assert not (tmp_path / "run").exists()
    assert package.train(recipe, **REFUSING, **{"grading.check_golds": 0})["steps"] == 1


def test_a_run_that_is_resumed_was_checked_before(recipe: dict[str, Any], tmp_path: Path) -> None:
    package.train(recipe, **REFUSING, **{"grading.check_golds": 0})
    changed = load_recipe(recipe, {**REFUSING, "num_steps": 2})  # check_golds is 200 again
    assert Run(changed, resume=True).train()["steps"] == 2


def test_a_task_without_golds_begins_with_a_note(
    recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    package.train(recipe, **{"data.train": "mine:Successor"})
    assert "golds were not checked: the task has no gold_completion" in capsys.readouterr().out


def test_each_source_is_checked_with_its_own_reward(recipe: dict[str, Any]) -> None:
    """Two sources of one kind share ids, which get the name of the source before them."""
    one = {"task": "arithmetic", "train_size": 64, "eval_size": 8}
    sources = [
        {"name": "small", "task": one},
        {"name": "large", "task": {**one, "largest": 99}},
    ]
    values = {**recipe, "data": {"sources": sources}}
    assert package.train(values)["steps"] == 1
    with pytest.raises(UserError, match=r"of 64 gold answers of small"):
        package.train({**values, **REFUSING, "run": {"dir": "unused"}})


def test_the_gate_takes_no_time_to_speak_of(recipe: dict[str, Any]) -> None:
    run = Run(load_recipe(recipe))
    started = time.perf_counter()
    run.data.require_golds(run.recipe.grading)
    assert time.perf_counter() - started < 0.5
    run.data.workers.close()
    run.directory.close()


@pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED does not say where the data sets are")
@pytest.mark.parametrize(
    "task",
    ["gsm8k,train_path={}/gsm8k_train.jsonl", "math500,path={}/math500.jsonl", "aime24,path={}/aime24.jsonl"],
)
def test_real_data_pass_their_own_check(task: str, tmp_path: Path) -> None:
    named = task.format(Path(SHARED or ".") / "data")
    found = json.loads(dapo("reward", "check", "--task", named, "-n", "20", "--json", cwd=tmp_path))
    [checked] = found["tasks"]
    kinds = checked["kinds"]
    assert kinds["gold"]["accepted"] == kinds["gold"]["answers"] == 20
    assert kinds["wrong"]["accepted"] == 0 and kinds["wrong"]["answers"] > 40
    assert kinds["adversarial"]["answers"] > 1000 and checked["executed"] == []

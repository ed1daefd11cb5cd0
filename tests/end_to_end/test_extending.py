"""docs/extending.md, run: every block is written where the page says and used as the page says."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import dapo
from dapo.errors import UserError
from dapo.model import ModelSettings, load_codec
from dapo.recipe.config import load_recipe, recipe_to_plain
from tests.end_to_end.pages import DOCS, Block, Page, changed_recipe, dapo_arguments

PAGE = Page(DOCS / "extending.md")
PROGRAMS = [block.name for block in PAGE.files if block.language == "python"]
COMMANDS = [line for block in PAGE.shells for line in block.commands]

SIGNAL = """
def starts_with_digit(completion, example):
    return completion.text[:1].isdigit()
"""
"""A verdict that a random model gets right now and then, so that there is something to train on."""


@pytest.fixture(scope="module")
def workspace(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory the page speaks of, with a tiny model in the place of the quickstart's."""
    directory = tmp_path_factory.mktemp("extending")
    PAGE.write_files(directory)
    (directory / "signal_reward.py").write_text(SIGNAL, encoding="utf-8")
    model = directory / "recipes" / "quickstart-base"
    shutil.copytree(tiny_model, model)
    load_codec(ModelSettings(str(tiny_model), template="plain")).save(model)
    return directory


@pytest.fixture(autouse=True)
def _start_there(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in the directory, as somebody who follows the page, and forget its modules afterwards."""
    monkeypatch.chdir(workspace)
    monkeypatch.syspath_prepend(workspace)
    known = set(sys.modules)
    yield
    shutil.rmtree("runs", ignore_errors=True)  # runs are named by the second they start in
    for name in set(sys.modules) - known:
        if str(workspace) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def recipe(fragment: Block) -> dict[str, Any]:
    """The page's recipe with the keys of a fragment in it, and a verdict where it names none."""
    values = changed_recipe(fragment)
    own_verdict = "reward" in values or values["data"]["train"]["task"] != "arithmetic"
    return values if own_verdict else {**values, "reward": "signal_reward:starts_with_digit"}


def train(fragment: Block) -> Path:
    """One step by the recipe with this fragment in it, once for all tests. Returns the run's directory."""
    directory = Path("trained", str(fragment.line))
    if not directory.exists():
        settings: dict[str, Any] = {"run.dir": str(directory), "eval.limit": 4, "eval.completions": 1}
        dapo.train(recipe(fragment), num_steps=1, **settings)
    return directory


def last_metrics(run: Path) -> dict[str, Any]:
    """The figures of the last step; evaluations have lines of their own."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return dict([line for line in lines if "time/step" in line][-1])


def test_every_block_of_the_page_is_run() -> None:
    PAGE.check()
    assert all(len(group) >= size for group, size in ((PROGRAMS, 9), (PAGE.fragments, 11), (COMMANDS, 2)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs(name: str) -> None:
    runpy.run_path(name, run_name="__main__")


@pytest.mark.parametrize("fragment", PAGE.fragments, ids=lambda block: f"line {block.line}")
def test_a_change_of_the_recipe_trains(fragment: Block) -> None:
    run = train(fragment)
    metrics = last_metrics(run)
    assert metrics["step"] == 1
    assert metrics["reward/errors"] == 0
    if recipe(fragment).get("reward") == "signal_reward:starts_with_digit":
        assert metrics["optim/updates"] > 0
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert recipe_to_plain(load_recipe(kept)) == kept


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dapo.cli.main import app

    app(dapo_arguments(command), standalone_mode=False)
    assert capsys.readouterr().out


def fragment_with(text: str) -> Block:
    [found] = [block for block in PAGE.fragments if text in block.text]
    return found


def test_a_metric_of_an_own_loss_is_reported() -> None:
    assert 0 <= last_metrics(train(fragment_with("CappedRatio")))["policy/capped"] <= 1


def test_the_loss_tried_without_a_model_has_the_gradient_the_page_says() -> None:
    assert runpy.run_path("try_loss.py")["logprobs"].grad.tolist() == [-1, 0, 1]


def test_a_function_handed_over_is_named_in_the_config() -> None:
    reward = runpy.run_path("my_rewards.py", run_name="my_rewards")["right_number"]
    plain = recipe_to_plain(load_recipe("recipe.yaml", {"reward": reward}))
    assert plain["reward"] == "my_rewards:right_number"
    load_recipe(plain)


def test_shaping_changes_the_reward_and_not_the_score() -> None:
    rollouts = train(fragment_with("right_and_brief")) / "rollouts" / "step_000001.jsonl"
    for rollout in map(json.loads, rollouts.read_text(encoding="utf-8").splitlines()):
        overlong = rollout["reward"] - (2 * rollout["score"] - 1) - rollout["parts"]["length"]
        assert rollout["score"] in (0, 1)
        assert rollout["parts"]["length"] == pytest.approx(-0.002 * rollout["tokens"])
        assert -1 <= overlong <= 1e-9


def test_settings_of_an_own_reward_are_checked_when_the_recipe_is_read() -> None:
    values = recipe(fragment_with("near_reward"))
    with pytest.raises(UserError, match=r"reward\.tolerances: unknown key\. Did you mean"):
        load_recipe(values, {"reward": {"name": "near_reward:Near", "tolerances": 2}})


def test_the_template_of_the_page_is_kept_in_the_checkpoint() -> None:
    checkpoint = train(fragment_with("chat.jinja")) / "checkpoints" / "step_000001"
    tokenizer = load_codec(ModelSettings(str(checkpoint))).tokenizer
    question = [{"role": "user", "content": "1+1"}]
    asked = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    assert asked == "user: 1+1\nassistant: "

"""Whole runs on a tiny model, through the same functions as the command line."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import dapo
from dapo.errors import UserError
from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe
from dapo.types import Completion, Example

Recipe = dict[str, Any]


def starts_with_digit(completion: Completion, example: Example) -> bool:
    """A verdict that a random model gets right now and then, and that can be learned in a few steps."""
    return completion.text[:1].isdigit()


def never(completion: Completion, example: Example) -> bool:
    return False


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Recipe:
    return {
        "name": "tiny",
        "model": {"path": str(tiny_model), "template": "plain"},
        "data": {"train": {"task": "arithmetic", "train_size": 64, "eval_size": 16}},
        "num_steps": 6,
        "prompts_per_step": 8,
        "group_size": 4,
        "updates_per_step": 2,
        "max_prompt_tokens": 32,
        "max_completion_tokens": 8,
        "reward": starts_with_digit,
        "optimizer": {"lr": 1e-2, "weight_decay": 0.0},
        "eval": {"completions": 4},
        "run": {"dir": str(tmp_path / "run")},
    }


def metrics_of(run: str | Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock."""
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if not key.startswith(("time/", "perf/"))}
        for line in lines
    ]


def test_a_model_learns(recipe: Recipe) -> None:
    summary = dapo.train(recipe, num_steps=40)
    assert summary["accuracy_before"] < 0.6
    assert summary["accuracy_after"] > 0.9
    assert summary["steps"] == 40


def test_the_run_directory_can_be_read_without_the_package(recipe: Recipe) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    summary = dapo.train(recipe)
    run = Path(summary["run"])
    assert json.loads((run / "summary.json").read_text()) == summary
    assert {"accuracy_before", "accuracy_after", "seconds", "steps", "tokens"} <= summary.keys()
    metrics = metrics_of(run)
    assert [line["step"] for line in metrics] == list(range(7))
    assert metrics[-1]["eval/avg@4"] == summary["accuracy_after"]
    assert metrics[-1]["tokens/total"] == summary["tokens"]
    completions = [json.loads(line) for line in (run / "rollouts/step_000003.jsonl").read_text().splitlines()]
    assert len(completions) == 4 * metrics[3]["sampling/generated"]
    assert sum(record["tokens"] for record in completions) == metrics[3]["sampling/generated_tokens"]
    assert sum(record["kept"] for record in completions) == 4 * metrics[3]["sampling/trained"]
    checkpoint = run / "checkpoints/step_000006"
    assert AutoModelForCausalLM.from_pretrained(checkpoint).config.vocab_size == len(
        AutoTokenizer.from_pretrained(checkpoint)
    )
    assert list(run.glob("tb/events*"))


def test_the_account_balances_over_the_run(recipe: Recipe) -> None:
    run = Run(load_recipe(recipe))
    run.train()
    for counts in (run.trainer.account.groups, run.trainer.account.tokens):
        assert counts["generated"] == counts["trained"] + counts["all_right"] + counts["all_wrong"]
    assert run.trainer.account.groups["trained"] == 6 * 8
    assert run.trainer.account.groups["all_wrong"] > 0


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(recipe: Recipe, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        dapo.train(recipe, seed=seed, num_steps=3, **{"run.dir": str(tmp_path / name)})
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")
    assert metrics_of(tmp_path / "a") != metrics_of(tmp_path / "c")


def test_resume_continues_to_the_same_numbers(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"checkpoint.every": 2, "optimizer.schedule": {"kind": "linear", "warmup_updates": 3}}
    dapo.train(recipe, **settings, **{"run.dir": str(tmp_path / "whole")})
    interrupted = load_recipe(recipe, {**settings, "run.dir": str(tmp_path / "cut")})
    monkeypatch.setattr("dapo.jobs.training.Run._show", _die_at(5))
    with pytest.raises(KeyboardInterrupt):
        Run(interrupted).train()
    monkeypatch.undo()
    resumed = Run(interrupted, resume=True)
    assert resumed.trainer.step == 4
    resumed.train()
    assert metrics_of(tmp_path / "cut") == metrics_of(tmp_path / "whole")
    last = "checkpoints/step_000006/model.safetensors"
    whole, cut = load_file(tmp_path / "whole" / last), load_file(tmp_path / "cut" / last)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    names = sorted(path.name for path in (tmp_path / "whole/rollouts").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "cut/rollouts").iterdir())


def _die_at(step: int) -> Callable[[Run, Any], None]:
    original = Run._show

    def show(run: Run, done: Any) -> None:
        original(run, done)
        if done.number == step:
            raise KeyboardInterrupt

    return show


def test_data_without_a_signal_does_not_crash_the_run(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = dapo.train({**recipe, "reward": never}, num_steps=2, **{"sampling.max_rounds": 3})
    assert summary["accuracy_after"] == 0
    assert summary["groups"] == {"generated": 48, "trained": 0, "all_right": 0, "all_wrong": 48}
    assert "none of 24 groups carries a signal (24 all wrong, 0 all right)" in capsys.readouterr().out
    assert [line.get("optim/skipped") for line in metrics_of(summary["run"])] == [None, 1.0, 1.0]


def test_without_dynamic_sampling_every_group_is_trained(recipe: Recipe) -> None:
    summary = dapo.train(recipe, num_steps=2, **{"sampling.policy": "off"})
    assert summary["groups"]["generated"] == summary["groups"]["trained"] == 16


@pytest.mark.parametrize(
    "algorithm",
    [
        "grpo",
        "dr_grpo",
        "dapo-80-20",
        "gspo",
        "sapo",
        "cispo",
        {"name": "dapo", "kl": {"coefficient": 0.01, "where": "reward"}, "entropy_bonus": 0.001},
        {"name": "dapo", "overlong_filter": {"in_baseline": False}, "soft_overlong": None},
    ],
)
def test_every_algorithm_trains(recipe: Recipe, algorithm: Any) -> None:
    summary = dapo.train({**recipe, "algorithm": algorithm}, num_steps=2)
    assert all(line["optim/updates"] == 2 for line in metrics_of(summary["run"])[1:])


def test_evaluation_alone_gives_the_number_of_the_training(recipe: Recipe) -> None:
    summary = dapo.train(recipe)
    result = dapo.evaluate(
        Path(summary["run"]) / "checkpoints/step_000006",
        recipe["data"]["train"],
        reward=starts_with_digit,
        max_completion_tokens=8,
        max_prompt_tokens=32,
    )
    assert result.metrics["avg@4"] == summary["accuracy_after"]


def test_bfloat16_trains_with_the_importance_correction_on(recipe: Recipe) -> None:
    summary = dapo.train(recipe, num_steps=2, **{"model.precision": "bfloat16"})
    line = metrics_of(summary["run"])[-1]
    assert line["optim/updates"] == 2
    assert line["mismatch/kl"] != 0


@dataclass(frozen=True)
class StartsWith:
    """A reward with a setting, handed over as an object."""

    characters: str = "0123456789"

    def __call__(self, completion: Completion, example: Example) -> bool:
        return completion.text[:1] in self.characters


def test_a_reward_object_is_written_down_as_a_recipe_names_it(recipe: Recipe) -> None:
    summary = dapo.train({**recipe, "reward": StartsWith("01234")}, num_steps=1)
    written = yaml.safe_load((Path(summary["run"]) / "config.yaml").read_text())["reward"]
    assert written == {"name": f"{__name__}:StartsWith", "characters": "01234"}
    with pytest.raises(UserError, match=r"reward: .* cannot be written down"):
        dapo.train({**recipe, "reward": functools.partial(starts_with_digit)}, **{"run.dir": "unused"})


def test_a_file_named_for_evaluation_is_evaluated_on_whole(recipe: Recipe, tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"{n}+1=?", "answer": str(n + 1)}) for n in range(5)]
    (tmp_path / "held_out.jsonl").write_text("\n".join(rows))
    summary = dapo.train(recipe, num_steps=1, **{"data.eval": str(tmp_path / "held_out.jsonl")})
    lines = (Path(summary["run"]) / "rollouts/eval_000001.jsonl").read_text().splitlines()
    assert len(lines) == 5 * 4

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

CARRIES = {"sampling.max_staleness": 1}


def starts_with_digit(completion: Completion, example: Example) -> bool:
    """A verdict that a random model gets right now and then, and that can be learned in a few steps."""
    return completion.text[:1].isdigit()


def right_from_the_third_policy_on(completion: Completion, example: Example) -> bool:
    """All wrong at first; then most groups carry a signal, and far more than were expected."""
    return completion.policy_versions[0] >= 2 and starts_with_digit(completion, example)


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
        # Workers would take seconds to import this module and torch; and no reward here looks at sums.
        "grading": {"workers": 0, "check_golds": 0},
        "optimizer": {"lr": 1e-2, "weight_decay": 0.0},
        "eval": {"completions": 4},
        "run": {"dir": str(tmp_path / "run")},
    }


def metrics_of(run: str | Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock."""
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [
        {
            key: value
            for key, value in json.loads(line).items()
            if not key.startswith(("time/", "perf/", "reward/latency"))
        }
        for line in lines
    ]


def steps_of(run: str | Path) -> list[dict[str, Any]]:
    """The lines of steps; evaluations have lines of their own."""
    return [line for line in metrics_of(run) if "tokens/total" in line]


def records_of(run: str | Path, step: int) -> list[dict[str, Any]]:
    lines = (Path(run) / f"rollouts/step_{step:06d}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


FATES = ("trained", "all_right", "all_wrong", "carried_out", "aborted")


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
    metrics, steps = metrics_of(run), steps_of(run)
    assert [line["step"] for line in metrics] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert metrics[0] == {"step": 0, **{key: metrics[0][key] for key in metrics[0] if "eval/" in key}}
    assert metrics[-1]["eval/avg@4"] == summary["accuracy_after"]
    assert steps[-1]["tokens/total"] == summary["tokens"]
    for step, line in enumerate(steps, start=1):
        records = records_of(run, step)
        decided = ("trained", "all_right", "all_wrong")
        assert len(records) == 4 * sum(line[f"sampling/{fate}"] for fate in decided)
        assert sum(r["tokens"] for r in records) == sum(line[f"sampling/{fate}_tokens"] for fate in decided)
        assert sum(record["kept"] for record in records) == 4 * line["sampling/trained"]
        assert all(record["kept"] == (record["advantage"] is not None) for record in records)
    checkpoint = run / "checkpoints/step_000006"
    assert AutoModelForCausalLM.from_pretrained(checkpoint).config.vocab_size == len(
        AutoTokenizer.from_pretrained(checkpoint)
    )
    assert list(run.glob("tb/events*"))


def test_the_account_balances_over_the_run(recipe: Recipe) -> None:
    run = Run(load_recipe(recipe, CARRIES))
    run.train()
    account, lines = run.trainer.account, steps_of(run.directory.path)
    for counts, unit in ((account.groups, ""), (account.tokens, "_tokens")):
        assert counts["generated"] == sum(counts[fate] for fate in FATES)
        assert counts["generated"] == sum(line[f"sampling/generated{unit}"] for line in lines)
        assert counts["carried_out"] == lines[-1][f"sampling/carried_out{unit}"]
        carried = [line[f"sampling/carried_out{unit}"] for line in lines[:-1]]
        assert [line[f"sampling/carried_in{unit}"] for line in lines] == [0, *carried]
    assert account.groups["trained"] == 6 * 8
    assert account.groups["all_wrong"] > 0
    assert account.groups["carried_out"] > 0


def test_no_group_is_lost_or_trained_twice_between_steps(recipe: Recipe) -> None:
    run = Run(load_recipe(recipe, CARRIES))
    run.train()
    decided = [
        (record["id"], record["visit"], record["index"])
        for step in range(1, 7)
        for record in records_of(run.directory.path, step)
    ]
    waiting = [
        (entry.prompt.example.id, entry.prompt.visit, index)
        for entry in run.trainer.sampler.entries
        for index in range(4)
    ]
    assert len(decided) + len(waiting) == 4 * run.trainer.account.groups["generated"]
    assert len({*decided, *waiting}) == len(decided) + len(waiting)


def test_as_delivered_every_token_is_of_the_policy_that_is_updated(recipe: Recipe) -> None:
    summary = dapo.train(recipe)
    for step, line in enumerate(steps_of(summary["run"]), start=1):
        assert (line["staleness/max"], line["sampling/carried_out"]) == (0, 0)
        assert all(record["policy_versions"] == [step - 1] for record in records_of(summary["run"], step))


def test_a_step_filled_by_what_was_carried_shows_figures_of_training_only(recipe: Recipe) -> None:
    summary = dapo.train({**recipe, "reward": right_from_the_third_policy_on}, **CARRIES)
    lines = steps_of(summary["run"])
    filled = [line for line in lines if line["sampling/trained"] and not line["sampling/generated_tokens"]]
    assert filled
    for line in lines:
        assert ("score/mean" in line) == ("sampling/signal_share" in line) == (line not in filled)
    assert all(line["score/trained_mean"] > 0 for line in filled)


@pytest.mark.parametrize("reward", [starts_with_digit, right_from_the_third_policy_on])
def test_what_was_carried_is_trained_no_later_than_the_staleness_allows(
    recipe: Recipe, reward: Callable[[Completion, Example], bool]
) -> None:
    summary = dapo.train({**recipe, "reward": reward}, **CARRIES)
    lines = steps_of(summary["run"])
    ages = [
        step - 1 - min(record["policy_versions"])
        for step in range(1, 7)
        for record in records_of(summary["run"], step)
        if record["kept"]
    ]
    assert max(ages) == max(line["staleness/max"] for line in lines if "staleness/max" in line) == 1
    assert (max(line["sampling/trained"] for line in lines) > 8) == (reward is not starts_with_digit)


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(recipe: Recipe, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        dapo.train(recipe, seed=seed, num_steps=3, **CARRIES, **{"run.dir": str(tmp_path / name)})
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")
    assert metrics_of(tmp_path / "a") != metrics_of(tmp_path / "c")


@pytest.mark.parametrize("carries", [{}, CARRIES])
def test_resume_continues_to_the_same_numbers(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carries: dict[str, int]
) -> None:
    schedule = {"kind": "linear", "warmup_updates": 3}
    settings = {**carries, "checkpoint.every": 2, "optimizer.schedule": schedule}
    dapo.train(recipe, **settings, **{"run.dir": str(tmp_path / "whole")})
    interrupted = load_recipe(recipe, {**settings, "run.dir": str(tmp_path / "cut")})
    monkeypatch.setattr("dapo.jobs.training.Run._write", _die_at(5))
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
    original = Run._write

    def write(run: Run, done: Any) -> None:
        original(run, done)
        if done.number == step:
            raise KeyboardInterrupt

    return write


def test_data_without_a_signal_does_not_crash_the_run(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = dapo.train({**recipe, "reward": never}, num_steps=2, **{"sampling.max_rounds": 3})
    assert summary["accuracy_after"] == 0
    groups = summary["account"]["groups"]
    assert {name: count for name, count in groups.items() if count} == {"generated": 48, "all_wrong": 48}
    assert (
        "24 groups were generated, the limit of sampling.max_rounds, for 8 that carry a signal; "
        "24 were all wrong, 0 all right: nothing to train on"
    ) in capsys.readouterr().out
    assert [line["optim/skipped"] for line in steps_of(summary["run"])] == [1.0, 1.0]


def test_without_dynamic_sampling_every_group_is_trained(recipe: Recipe) -> None:
    summary = dapo.train(recipe, num_steps=2, **{"sampling.policy": "off"})
    groups = summary["account"]["groups"]
    assert groups["trained"] == 16
    assert groups["all_right"] == groups["all_wrong"] == 0
    assert groups["generated"] == groups["trained"] + groups["carried_out"]
    records = [record for step in (1, 2) for record in records_of(summary["run"], step)]
    assert all(record["kept"] for record in records)
    assert {record["verdict"] for record in records} >= {"signal", "all_wrong"}


def test_complete_repeats_groups_to_whole_mini_batches_and_calls_it_no_shortage(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = dapo.train(recipe, **{"sampling.policy": "complete"})
    lines = steps_of(summary["run"])
    assert any(line["sampling/copies"] for line in lines)
    for line in lines:
        assert line["sampling/trained"] + line["sampling/copies"] == 4 * line["optim/updates"]
        assert line["sampling/trained"] + line["sampling/all_wrong"] + line["sampling/all_right"] == 8
    assert "sampling.max_rounds" not in capsys.readouterr().out


def test_resume_of_a_run_without_a_checkpoint_starts_from_its_first_step(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dapo.train(recipe, num_steps=2, **{"run.dir": str(tmp_path / "whole")})
    interrupted = load_recipe(recipe, {"num_steps": 2, "run.dir": str(tmp_path / "cut")})
    monkeypatch.setattr("dapo.jobs.training.Run._write", _die_at(1))
    with pytest.raises(KeyboardInterrupt):
        Run(interrupted).train()
    monkeypatch.undo()
    Run(interrupted, resume=True).train()
    assert "there is no checkpoint yet: the run starts from its first step" in capsys.readouterr().out
    assert metrics_of(tmp_path / "cut") == metrics_of(tmp_path / "whole")


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
    assert [line["optim/updates"] for line in steps_of(summary["run"])] == [2, 2]


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
    run = Run(load_recipe(recipe, {"num_steps": 2, "model.precision": "bfloat16"}))
    first = run.trainer.train_step()
    assert first.metrics["staleness/max"] == 0
    assert first.metrics["mismatch/kl"] != 0
    assert not any(sample.old_is_borrowed for sample in first.samples)
    weights = torch.cat([sample.weights for sample in first.samples])
    ratios = torch.cat([(sample.old_logprobs - sample.sampler_logprobs).exp() for sample in first.samples])
    assert (weights != 1).any()
    assert torch.allclose(weights, ratios.clamp(max=2.0))
    run.train()
    assert [line["optim/updates"] for line in steps_of(run.directory.path)] == [2]


def test_in_float32_the_tokens_of_the_steps_own_policy_need_no_correction(recipe: Recipe) -> None:
    run = Run(load_recipe(recipe, CARRIES))
    first = run.trainer.train_step()
    assert all(torch.equal(sample.weights, torch.ones_like(sample.weights)) for sample in first.samples)
    later = run.trainer.train_step().samples
    stale = torch.cat([sample.policy_versions < 1 for sample in later])
    weights = torch.cat([sample.weights for sample in later])
    assert torch.equal(weights[~stale], torch.ones_like(weights[~stale]))
    assert (weights[stale] - 1).abs().mean() > 0.01
    run.trainer.close()
    run.directory.close()


def test_the_entropy_is_that_of_all_completions_kept_or_not(recipe: Recipe) -> None:
    """By an algorithm that reads exact entropies and by one that does not, it is the same figure."""
    steps = {}
    for name in ("dapo", "dapo-80-20"):
        run = Run(load_recipe({**recipe, "algorithm": name}, {"run.dir": f"{recipe['run']['dir']}-{name}"}))
        steps[name] = step = run.trainer.train_step()
        run.trainer.close()
        run.directory.close()
        logprobs = [
            logprob
            for group in step.sampled.finished
            for rollout in group.rollouts
            for logprob in rollout.completion.sampler_logprobs
        ]
        assert len(logprobs) > sum(len(sample.completion_ids) for sample in step.samples)
        assert step.metrics["policy/entropy"] == pytest.approx(-sum(logprobs) / len(logprobs))
    assert not any(len(sample.entropies) for sample in steps["dapo"].samples)
    exact = torch.cat([sample.entropies for sample in steps["dapo-80-20"].samples])
    assert steps["dapo"].metrics["policy/entropy"] == pytest.approx(float(exact.mean()), rel=0.05)


def test_most_log_probabilities_are_borrowed_and_some_are_looked_at(recipe: Recipe) -> None:
    run = Run(load_recipe(recipe))
    step = run.trainer.train_step()
    own = [sample for sample in step.samples if not sample.old_is_borrowed]
    assert 0 < len(own) < 0.2 * len(step.samples)
    assert all(torch.allclose(s.old_logprobs, s.sampler_logprobs, atol=1e-5) for s in own)
    assert 0 < step.metrics["mismatch/max_abs_logprob_difference"] < 1e-5
    assert step.metrics["learner/useful_tokens"] >= 0.9
    run.trainer.close()
    run.directory.close()


@pytest.mark.parametrize("algorithm", ["dapo", "dapo-80-20"])
def test_a_sampler_with_other_weights_than_the_learner_stops_the_run_before_the_update(
    recipe: Recipe, algorithm: str
) -> None:
    run = Run(load_recipe({**recipe, "algorithm": algorithm}, {"checkpoint.every": 1}))
    show, seen = run.trainer.on_phase, []
    changed = {}

    def spoil(phase: str) -> None:
        """In the third step, move the weights between sampling and learning."""
        show(phase)
        seen.append(phase)
        if phase == "annotate" and seen.count(phase) == 3:
            for parameter in run.backend.model.parameters():
                parameter.data += 0.02 * torch.randn_like(parameter)
            changed.update({k: v.clone() for k, v in run.backend.model.state_dict().items()})

    run.trainer.on_phase = spoil
    with pytest.raises(UserError, match=r"sampler and learner disagree.*last checkpoint is sound"):
        run.train()
    assert seen[-1] == "annotate"
    assert all(torch.equal(changed[k], v) for k, v in run.backend.model.state_dict().items())
    assert [line["optim/updates"] for line in steps_of(recipe["run"]["dir"])] == [2, 2]
    resumed = Run(load_recipe({**recipe, "algorithm": algorithm}, {"checkpoint.every": 1}), resume=True)
    assert resumed.trainer.step == 2
    resumed.train()
    assert len(steps_of(recipe["run"]["dir"])) == 6


def test_a_slow_precision_is_said_at_the_start(
    recipe: Recipe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    dapo.train(recipe, num_steps=1, **{"model.precision": "bfloat16"})
    assert "bfloat16 is emulated on this CPU" in " ".join(capsys.readouterr().out.split())


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

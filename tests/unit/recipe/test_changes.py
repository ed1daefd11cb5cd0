"""What of a recipe may change between the start of a run and its continuation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dapo.recipe.changes import MAY_CHANGE, UNSET, Change, changes, check_changes, describe_changes
from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.recipe.text import RecipeError
from dapo.run.directory import RunDirectory

BASE: dict[str, Any] = {
    "name": "test",
    "model": {"path": "no/such-model", "template": "plain"},
    "data": {"train": "arithmetic"},
    "num_steps": 10,
    "prompts_per_step": 8,
    "group_size": 4,
    "max_completion_tokens": 100,
    "generation": {"stop": ["\n\n", "off", "1e-6"]},
    "optimizer": {"lr": 1e-6, "betas": [0.9, 0.95]},
}

ALLOWED = {
    "name": "other",
    "num_steps": 20,
    "run.trackers": [],
    "eval.every": 5,
    "eval.completions": 8,
    "checkpoint.keep": 4,
    "checkpoint.keep_best": False,
    "learner.tokens_per_batch": 4096,
    "learner.share_prompts": False,
    "generation.prefill_tokens": 512,
    "generation.cuda_graphs": False,
    "model.gradient_checkpointing": True,
}

REFUSED = {
    "seed": 1,
    "model.path": "other/model",
    "data.train": {"task": "arithmetic", "seed": 7},
    "data.limit": 10,
    "prompts_per_step": 16,
    "max_prompt_tokens": 64,
    "generation.slots": 64,
    "generation.stop": ["\n\n"],
    "optimizer.lr": 2e-6,
    "optimizer.betas": [0.9, 0.99],
    "optimizer.schedule.kind": "cosine",
    "algorithm": "grpo",
    "algorithm.loss.high": 0.3,
    "algorithm.kl": {"coefficient": 0.1},
    "reward": "math_dapo",
}


def plain(overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    return recipe_to_plain(load_recipe(BASE, overrides or {}))


def test_the_recipe_a_run_wrote_down_is_the_one_it_began_with(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, plain()) as run:
        written = run.read_config()
    assert changes(written, plain()) == []
    assert check_changes(written, plain()) == []
    assert changes(recipe_to_plain(load_recipe(run.config_path)), written) == []


@pytest.mark.parametrize("key", ALLOWED)
def test_what_does_not_make_it_another_run_may_change(key: str) -> None:
    [change] = changes(plain(), plain({key: ALLOWED[key]}))
    assert (change.key, change.new, change.allowed) == (key, ALLOWED[key], True)
    [line] = check_changes(plain(), plain({key: ALLOWED[key]}))
    assert line.startswith(f"{key}: ")


@pytest.mark.parametrize("key", REFUSED)
def test_everything_else_is_refused(key: str) -> None:
    new = plain({key: REFUSED[key]})
    found = changes(plain(), new)
    assert found
    assert not any(change.allowed for change in found)
    with pytest.raises(RecipeError, match=r"not the one this run began with") as caught:
        check_changes(plain(), new)
    for change in found:
        assert f"\n  {change}\n" in str(caught.value)
        assert change.key == key or change.key.startswith(f"{key}.")


def test_the_refusal_lists_every_difference_and_the_ways_out() -> None:
    new = plain({"seed": 1, "num_steps": 20, "optimizer.betas": [0.9, 0.99], "data.limit": 5})
    with pytest.raises(RecipeError) as caught:
        check_changes(plain(), new)
    assert str(caught.value) == (
        "the recipe is not the one this run began with:\n"
        "  data.limit: null -> 5\n"
        "  seed: 0 -> 1\n"
        "  optimizer.betas: [0.9, 0.95] -> [0.9, 0.99]\n"
        "Go on with the old values, start a new run with another run.dir, or accept the differences with "
        "--force."
    )


def test_force_accepts_them_and_says_so() -> None:
    assert check_changes(plain(), plain({"seed": 1, "num_steps": 20}), force=True) == [
        "num_steps: 10 -> 20 (a learning rate that falls over the run follows it)",
        "seed: 0 -> 1 (forced: what came before it followed another recipe)",
    ]


def test_what_is_to_be_known_of_a_change_stands_beside_it() -> None:
    found = changes(
        plain(), plain({"eval.every": 2, "eval.completions": 8, "learner.tokens_per_batch": 99, "name": "ü"})
    )
    assert describe_changes(found) == [
        'name: "test" -> "ü"',
        "learner.tokens_per_batch: 16384 -> 99 (the same result up to rounding: the bits may differ)",
        "eval.every: 0 -> 2",
        "eval.completions: 4 -> 8 (evaluations before and after it do not compare)",
    ]


def test_a_key_that_one_side_lacks_is_unset() -> None:
    old, new = plain(), plain()
    del old["checkpoint"]["keep_best"], old["algorithm"], new["max_prompt_tokens"]
    found = {change.key: change for change in changes(old, new)}
    assert found["checkpoint.keep_best"] == Change("checkpoint.keep_best", UNSET, True, allowed=True)
    assert found["max_prompt_tokens"] == Change("max_prompt_tokens", 2048, UNSET, allowed=False)
    assert str(found["checkpoint.keep_best"]) == "checkpoint.keep_best: unset -> true"
    assert str(found["max_prompt_tokens"]) == "max_prompt_tokens: 2048 -> unset"
    assert str(found["algorithm.loss.high"]) == "algorithm.loss.high: unset -> 0.28"


def test_a_part_switched_off_is_one_difference() -> None:
    [change] = changes(plain({"algorithm.kl": {"coefficient": 0.1}}), plain())
    assert (change.key, change.new) == ("algorithm.kl", None)


def test_a_name_is_the_section_it_stands_for() -> None:
    assert changes(plain(), plain({"data.train": {"task": "arithmetic"}})) == []
    [change] = changes(plain({"reward": {"name": "exact"}}), plain({"reward": "math_dapo"}))
    assert (change.key, change.old, change.new) == ("reward.name", "exact", "math_dapo")


def test_where_the_run_lies_is_no_change() -> None:
    assert changes(plain(), plain({"run.dir": "runs/other"})) == []


def test_a_section_whose_name_begins_alike_is_another() -> None:
    assert not changes({"evaluate": 1, "data": {"eval": 1}}, {"evaluate": 2, "data": {"eval": 2}})[0].allowed
    assert not changes({"data": {"eval": 1}}, {"data": {"eval": 2}})[0].allowed


def test_what_may_change_exists() -> None:
    """A key in MAY_CHANGE that no recipe has would be a promise about nothing."""
    for key in MAY_CHANGE:
        section: Any = plain()
        for name in key.split("."):
            assert name in section, key
            section = section[name]

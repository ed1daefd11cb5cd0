"""Recipes: what they may say, what is refused before anything loads, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dapo.algorithms import PRESETS
from dapo.core.losses import ClipLoss, SequenceClipLoss
from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.recipe.describe import describe
from dapo.recipe.text import RecipeError, parse_overrides, read_recipe

BASE: dict[str, Any] = {
    "name": "test",
    "model": {"path": "no/such-model", "template": "plain"},
    "data": {"train": "arithmetic"},
    "num_steps": 10,
    "prompts_per_step": 8,
    "group_size": 4,
    "max_completion_tokens": 100,
}

WRONG = {
    "misspelt key": (
        {"prompts_per_stp": 8},
        "prompts_per_stp: unknown key. Did you mean 'prompts_per_step'?",
    ),
    "misspelt nested key": ({"optimizer.learning_rat": 1}, "optimizer.learning_rat: unknown key."),
    "another trainer's name": ({"max_response_length": 9}, "Here this is max_completion_tokens."),
    "another trainer's loss": ({"loss_type": "dapo"}, "Here this is algorithm."),
    "unknown algorithm": ({"algorithm": "dappo"}, "Did you mean 'dapo'?"),
    "unknown loss": (
        {"algorithm.loss": "clp"},
        "algorithm.loss.name 'clp': unknown key. Did you mean 'clip'?",
    ),
    "setting of another loss": ({"algorithm.loss": {"tau_pos": 1.0}}, "algorithm.loss.tau_pos: unknown key."),
    "unknown part": ({"algorithm.kll": {}}, "algorithm.kll: unknown key. Did you mean 'kl'?"),
    "part that is no mapping": ({"algorithm.kl": 0.1}, "algorithm.kl: write true, null, or settings"),
    "negative clip": ({"algorithm.loss.low": -0.1}, "algorithm.loss"),
    "two dual clips": (
        {"algorithm.loss": {"dual_clip": 10, "optimized_dual_clip": True}},
        "dual_clip and optimized_dual_clip exclude each other",
    ),
    "group of one": ({"group_size": 1}, "group_size must be at least 2"),
    "uneven mini-batches": ({"updates_per_step": 3}, "must be a multiple of updates_per_step (3)"),
    "no steps": ({"num_steps": 0}, "num_steps must be greater than 0, not 0"),
    "no end": ({"num_steps": None}, "a run needs an end: set num_steps, max_tokens or max_hours"),
    "a rate that falls by the clock": (
        {"num_steps": None, "max_hours": 1, "optimizer.schedule.kind": "linear"},
        "falls with the progress of the run, which max_hours alone does not measure",
    ),
    "no data": ({"data": {}}, "give either train, for one source, or sources"),
    "text for a number": ({"num_steps": "many"}, "num_steps: Input should be a valid integer"),
    "learning rate of zero": ({"optimizer.lr": 0}, "lr must be positive"),
    "warm-up longer than the run": (
        {"optimizer.schedule.warmup_updates": 11},
        "exceeds the 10 updates of the run",
    ),
    "unknown schedule": ({"optimizer.schedule.kind": "step"}, "'constant', 'linear' or 'cosine'"),
    "greedy training": ({"generation.temperature": 0}, "temperature must be positive"),
    "truncated sampling": ({"generation.top_p": 0.9}, "training samples at top_p 1"),
    "no slots": ({"generation.slots": 0}, "slots must be at least 1"),
    "punishment out of reach": (
        {"algorithm.soft_overlong": {"max_tokens": 300, "cache_tokens": 50}},
        "begins to punish at 250 tokens, but completions end at max_completion_tokens (100)",
    ),
    "unknown task": (
        {"data.train": "arithmetik"},
        "data.train 'arithmetik': unknown key. Did you mean 'arithmetic'?",
    ),
    "setting of another task": (
        {"data.train": {"task": "arithmetic", "year": 2024}},
        "data.train.year: unknown key",
    ),
    "task that cannot be": (
        {"data.train": {"task": "arithmetic", "min_terms": 1}},
        "min_terms must be at least 2",
    ),
    "unknown reward": ({"reward": "maths_dapo"}, "Did you mean 'math_dapo'?"),
    "reward that cannot be imported": ({"reward": "nowhere:reward"}, "reward: cannot load 'nowhere:reward'"),
    "unknown tracker": ({"run.trackers": ["tensorbord"]}, "run.trackers"),
    "sampling for ever": ({"sampling.max_rounds": 0, "data.limit": 1}, "would sample one prompt for ever"),
    "evaluation less than never": ({"eval.every": -1}, "every must be at least 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_recipe_is_refused_with_its_reason(case: str) -> None:
    overrides, message = WRONG[case]
    with pytest.raises(RecipeError) as caught:
        load_recipe(BASE, overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["name", "model", "data", "prompts_per_step", "max_completion_tokens"])
def test_what_has_no_default_must_be_given(key: str) -> None:
    with pytest.raises(RecipeError, match=f"{key}: this key has no default and must be given"):
        load_recipe({name: value for name, value in BASE.items() if name != key})


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_tokens": 5000}, "The run ends after 5,000 tokens;"),
        ({"max_hours": 1.5}, "The run ends after 1.5 hours;"),
        ({"num_steps": 10, "max_hours": 2}, "10 steps = 10 optimizer updates, or 2.0 hours if that comes"),
    ],
)
def test_a_run_ends_after_steps_tokens_or_hours(limits: dict[str, Any], words: str) -> None:
    assert words in describe(load_recipe(BASE, {"num_steps": None, **limits}))


def test_the_model_is_not_looked_at_while_reading() -> None:
    assert load_recipe(BASE).model.path == "no/such-model"


@pytest.mark.parametrize("name", PRESETS)
def test_the_resolved_recipe_reads_back_to_itself(name: str) -> None:
    recipe = load_recipe(BASE, {"algorithm": name})
    text = yaml.safe_dump(recipe_to_plain(recipe))
    assert load_recipe(yaml.safe_load(text)) == recipe


def test_a_preset_is_changed_where_the_recipe_says_so_and_nowhere_else() -> None:
    changes = {"name": "dapo", "loss": {"high": 0.3}, "soft_overlong": None, "kl": {"coefficient": 0.1}}
    algorithm = load_recipe(BASE, {"algorithm": changes}).algorithm
    assert algorithm.loss == ClipLoss(low=0.2, high=0.3)
    assert algorithm.soft_overlong is None
    assert algorithm.kl is not None and algorithm.kl.coefficient == 0.1
    assert algorithm.reduction == PRESETS["dapo"].reduction


def test_naming_another_loss_starts_from_that_losss_defaults() -> None:
    algorithm = load_recipe(BASE, {"algorithm": {"name": "dapo", "loss": "sequence_clip"}}).algorithm
    assert algorithm.loss == SequenceClipLoss()


def test_command_line_overrides_open_up_shorthands() -> None:
    values = {**BASE, "algorithm": "dapo", "model": "some/model"}
    recipe = load_recipe(
        values,
        parse_overrides(["algorithm.loss.high=0.4", "model.template=plain", "data.limit=10", "seed=7"]),
    )
    assert recipe.algorithm.loss == ClipLoss(low=0.2, high=0.4)
    assert (recipe.model.path, recipe.model.template) == ("some/model", "plain")
    assert (recipe.data.limit, recipe.seed) == (10, 7)


@pytest.mark.parametrize("argument", ["seed", "=3", "optimizer lr 3"])
def test_an_override_without_a_value_is_refused(argument: str) -> None:
    with pytest.raises(RecipeError, match="write key=value"):
        parse_overrides([argument])


def test_an_override_through_a_value_is_refused() -> None:
    with pytest.raises(RecipeError, match="seed is the value 3, not a section"):
        read_recipe({"seed": 3}, {"seed.more": 1})


def test_variables_are_filled_in_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", "/models/base")
    values = {"model": {"path": "${MODEL_PATH}/7b"}, "list": ["${SIZE:-small}"], "number": 3}
    assert read_recipe(values) == {"model": {"path": "/models/base/7b"}, "list": ["small"], "number": 3}


def test_an_unset_variable_is_an_error_that_names_key_and_variable() -> None:
    with pytest.raises(
        RecipeError, match=r"model\.path: the environment variable NOT_SET_ANYWHERE is not set"
    ):
        read_recipe({"model": {"path": "${NOT_SET_ANYWHERE}"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "a recipe is a mapping"), ("a: [1\n", "not valid YAML"), ("", "a recipe is a mapping")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe .*nothing\.yaml"):
        read_recipe(tmp_path / "nothing.yaml")


def test_a_learning_rate_in_scientific_notation_is_a_number() -> None:
    assert (
        load_recipe(BASE, parse_overrides(["optimizer.lr=1e-6", "generation.temperature=.5"])).optimizer.lr
        == 1e-6
    )


def test_off_is_a_word_and_not_false() -> None:
    assert load_recipe(BASE, parse_overrides(["sampling.policy=off"])).sampling.policy == "off"
    assert parse_overrides(["a=true", "b=False", "c=no"]) == {"a": True, "b": False, "c": "no"}


def test_the_description_does_the_arithmetic_in_words() -> None:
    text = describe(load_recipe(BASE, {"updates_per_step": 2}))
    assert "8 prompts x 4 completions = 32 samples, in 2 update(s) of 16 samples" in text
    assert "10 steps = 20 optimizer updates" in text
    assert "replaced by new ones, up to 80 groups a step" in text
    assert "Nothing is sampled before the step that trains on it" in text
    assert "longer than 2,048 are dropped" in text
    cut = {"data.overlong": "left", "sampling.on_shortage": "keep_sampling"}
    text = describe(load_recipe(BASE, cut))
    assert "longer than 2,048 are cut on the left" in text
    assert "replaced by new ones, without a limit" in text
    task = {"task": "arithmetic"}
    sources = [{"name": "a", "task": task}, {"name": "b", "task": task, "overlong": "error"}]
    several = {**BASE, "data": {"sources": sources}}
    assert "longer than 2,048 are dropped or an error" in describe(load_recipe(several))
    ahead = describe(load_recipe(BASE, {"sampling.max_staleness": 2}))
    assert "runs ahead of the learner by at most 2 step(s)" in ahead

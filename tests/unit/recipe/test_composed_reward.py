"""A composed reward in a recipe: how it is read, refused and written down again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dapo.grading.adapt import as_reward
from dapo.grading.composition import Composition
from dapo.grading.grader import Grader
from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.recipe.resolve import reward_from
from dapo.recipe.text import RecipeError, parse_overrides
from dapo.rewards import exact
from dapo.types import Completion, Example

BASE: dict[str, Any] = {
    "name": "test",
    "model": {"path": "no/such-model", "template": "plain"},
    "data": {"train": "arithmetic"},
    "num_steps": 10,
    "prompts_per_step": 8,
    "group_size": 4,
    "max_completion_tokens": 100,
}

ENTRY: dict[str, Any] = {"reward": {"name": "exact", "marker": ""}, "weight": 0.2}
COMPOSED: dict[str, Any] = {
    "score": {"name": "number", "require_marker": True},
    "shaping": [
        {**ENTRY, "gate": "correct", "name": "bare", "offset": 0.5},
        {"reward": "exact", "weight": 1},
    ],
}


def composition(spec: Any) -> Composition:
    outcomes = as_reward(reward_from(spec)).outcomes
    assert isinstance(outcomes, Composition)
    return outcomes


def grade(spec: Any, text: str) -> Any:
    completion = Completion([], [], [], [], "eos", text)
    [score] = Grader(reward_from(spec)).grade([completion], Example("x", [], "7"))
    return score


def length(completion: Completion, example: Example) -> float:
    return 1 / (1 + len(completion.text))


def test_score_and_shaping_are_built_with_their_settings() -> None:
    bare, other = composition(COMPOSED).shaping
    assert (bare.name, bare.weight, bare.gate, bare.offset, bare.among) == (
        "bare",
        0.2,
        "correct",
        0.5,
        "gate",
    )
    assert (other.name, other.weight, other.gate, other.offset) == ("exact", 1.0, "always", 1.0)
    assert grade(COMPOSED, "7").score == 0 and grade(COMPOSED, "#### 7").score == 1
    assert grade(COMPOSED, "Answer: 7").parts == {"bare": -0.1, "exact": 0.0}


def test_the_resolved_recipe_reads_back_to_itself() -> None:
    recipe = load_recipe(BASE, {"reward": COMPOSED})
    text = yaml.safe_dump(recipe_to_plain(recipe))
    assert load_recipe(yaml.safe_load(text)) == recipe


@pytest.mark.parametrize(
    ("reward", "name", "written"),
    [
        (length, "length", f"{__name__}:length"),
        (exact.Reward("=>"), "exact", {"name": "exact", "marker": "=>"}),
        (f"{__name__}:length", "length", f"{__name__}:length"),
    ],
)
def test_objects_are_named_and_written_down(
    reward: Callable[..., Any] | str, name: str, written: Any
) -> None:
    spec = {"score": reward, "shaping": [{"reward": reward, "weight": 1, "gate": "wrong"}]}
    plain = recipe_to_plain(load_recipe(BASE, {"reward": spec}))["reward"]
    assert plain == {"score": written, "shaping": [{"reward": written, "weight": 1, "gate": "wrong"}]}
    assert [term.name for term in composition(spec).shaping] == [name]
    assert grade(yaml.safe_load(yaml.safe_dump(plain)), "=> 7") == grade(spec, "=> 7")


def test_what_has_no_name_to_find_it_by_cannot_be_written_down() -> None:
    recipe = load_recipe(BASE, {"reward": {**COMPOSED, "score": as_reward(length)}})
    with pytest.raises(RecipeError, match=r"cannot be written down in config\.yaml"):
        recipe_to_plain(recipe)


def test_an_override_reaches_the_verdict() -> None:
    recipe = load_recipe({**BASE, "reward": COMPOSED}, parse_overrides(["reward.score.window=50"]))
    assert recipe.reward["score"] == {"name": "number", "require_marker": True, "window": 50}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shaping": []}, r"reward\.shaping: this key is missing; write \{score:"),
        ({"score": None}, r"reward\.score: this key is missing"),
        ({"name": "exact"}, r"reward\.name: a composed reward has the keys score and shaping and no others"),
        ({"shaping": {"reward": "exact"}}, r"reward\.shaping: write a list of entries"),
        ({"shaping": "exact"}, r"reward\.shaping: write a list of entries"),
        ({"shaping": ["exact"]}, r"reward\.shaping\.0: an entry of shaping names its reward"),
        ({"shaping": [{"weight": 1}]}, r"reward\.shaping\.0: an entry of shaping names its reward"),
        ({"score": "exakt"}, r"reward\.score 'exakt': unknown key. Did you mean 'exact'"),
        (
            {"score": {"name": "exact", "markr": ""}},
            r"reward\.score\.markr: unknown key. Did you mean 'marker'",
        ),
        (
            {"shaping": [ENTRY, {**ENTRY, "reward": "exakt"}]},
            r"reward\.shaping\.1\.reward 'exakt': unknown key",
        ),
        (
            {"shaping": [{**ENTRY, "wieght": 1}]},
            r"reward\.shaping\.0\.wieght: unknown key. Did you mean 'weight'",
        ),
        ({"shaping": [{"reward": "exact"}]}, r"reward\.shaping\.0\.weight: this key has no default"),
        (
            {"shaping": [{**ENTRY, "weight": "much"}]},
            r"reward\.shaping\.0\.weight: Input should be a valid num",
        ),
        (
            {"shaping": [{**ENTRY, "weight": -1}]},
            r"reward\.shaping\.0: weight must be greater than 0, not -1",
        ),
        (
            {"shaping": [{**ENTRY, "gate": "right"}]},
            r"reward\.shaping\.0\.gate: Input should be 'always', 'corr",
        ),
        ({"shaping": [ENTRY, ENTRY]}, "reward: two entries of shaping are named 'exact'"),
        ({"shaping": [{**ENTRY, "reward": COMPOSED}]}, "reward: compositions do not nest"),
        ({"score": COMPOSED}, "reward: compositions do not nest"),
    ],
)
def test_a_wrong_composition_is_refused_with_its_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(BASE, {"reward": {**COMPOSED, **change}})

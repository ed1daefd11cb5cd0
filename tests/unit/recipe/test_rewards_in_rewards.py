"""Rewards whose settings are rewards: named in a recipe as any other, refused as any other, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from dapo.grading.adapt import AdaptedReward
from dapo.recipe.config import load_recipe, recipe_to_plain
from dapo.recipe.resolve import reward_from
from dapo.recipe.text import RecipeError, parse_overrides
from dapo.rewards import choice, exact, format, judge, math, mixed, number, reflection, repetition
from dapo.types import Completion, Example, Score
from dapo.verify.endpoint import Endpoint

BASE: dict[str, Any] = {
    "name": "test",
    "model": {"path": "no/such-model", "template": "plain"},
    "data": {"train": "arithmetic"},
    "num_steps": 10,
    "prompts_per_step": 8,
    "group_size": 4,
    "max_completion_tokens": 100,
}
URLS = {"urls": ["http://127.0.0.1:9/v1"], "model": "m"}


def calm(completion: Completion, example: Example) -> bool:
    return "!" not in completion.text


def from_one_to_five(completion: Completion, example: Example) -> float:
    return 4.0


@dataclass(frozen=True)
class Either:
    """Right if one of several says so."""

    of: tuple[Callable[..., Any], ...]
    named: Mapping[str, Callable[..., Any]] | None = None
    threshold: float = 0.5

    def __call__(self, completion: Completion, example: Example) -> Score:
        each = [*self.of, *(self.named or {}).values()]
        return Score(max(reward(completion, example).score for reward in each))


def test_reflection_takes_its_answer_and_its_sides_by_name() -> None:
    assert reward_from("reflection") == reflection.Reward(answer=math.Reward())
    spec = {
        "name": "reflection",
        "answer": {"name": "number", "window": 50},
        "side": ["repetition", {"name": "format", "opening": "forbidden"}],
        "judge": URLS,
    }
    side = (repetition.Reward(), format.Reward(opening="forbidden"))
    judge = Endpoint(("http://127.0.0.1:9/v1",), "m")
    assert reward_from(spec) == reflection.Reward(number.Reward(window=50), side, judge=judge)


def test_ones_own_functions_serve_inside_others() -> None:
    reward: Any = reward_from({"name": "reflection", "answer": f"{__name__}:calm"})
    assert isinstance(reward.answer, AdaptedReward)
    said = [Completion([], [], [], [], "eos", text) for text in ("</think>x", "</think>x!")]
    assert [one.score for one in reward(said, Example("1", [], ""))] == [1.0, 0.0]
    ranged = {"name": f"{__name__}:from_one_to_five", "score_range": [1, 5]}
    either = {"name": f"{__name__}:Either", "of": ["exact", ranged], "named": {"calm": calm}}
    [outcome] = reward_from(either).outcomes([said[1]], Example("1", [], ""))  # type: ignore[attr-defined]
    assert outcome.score == 0.75  # (4 - 1) / 4, where the others say 0


def test_mixed_takes_rewards_by_value_a_judge_and_reflection() -> None:
    spec = {
        "name": "mixed",
        "rewards": {"mine": "math", "openai/gsm8k": {"name": "number", "window": 50}},
        "default": "exact",
        "columns": ["kind", "data_source"],
        "judge": {"endpoint": URLS, "read": "number"},
        "reflection": {"variant": "code", "side": ["repetition"]},
    }
    assert reward_from(spec) == mixed.Reward(
        rewards={"mine": math.Reward(), "openai/gsm8k": number.Reward(window=50)},
        default=exact.Reward(),
        columns=("kind", "data_source"),
        judge=judge.Reward(Endpoint(("http://127.0.0.1:9/v1",), "m"), read="number"),
        reflection=mixed.Reflection("code", side=(repetition.Reward(),)),
    )
    assert reward_from({"name": "mixed", "reflection": False}) == mixed.Reward(reflection=False)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            {"name": "reflection", "answer": "maths"},
            r"^reward\.answer 'maths': unknown key. Did you mean 'math'",
        ),
        (
            {"name": "reflection", "answer": {"name": "math", "windw": 1}},
            r"^reward\.answer\.windw: unknown key. Did you mean 'window'",
        ),
        ({"name": "reflection", "side": ["exact", {"window": 1}]}, r"^reward\.side\.1: name a reward"),
        ({"name": "reflection", "answer": "judge"}, r"^reward\.answer\.endpoint: this key has no default"),
        ({"name": "reflection", "answer": "shortest"}, r"answer must judge one completion at a time"),
        ({"name": "reflection", "answer": "mixed"}, r"answer must judge one completion at a time"),
        ({"name": "mixed", "rewards": {"x": "exakt"}}, r"^reward\.rewards\.x 'exakt': unknown key"),
        ({"name": "mixed", "rewards": ["exact"]}, r"^reward\.rewards: Input should be a valid dict"),
        (
            {"name": "mixed", "reflection": {"side": ["exakt"]}},
            r"^reward\.reflection\.side\.0 'exakt': unknown key. Did you mean 'exact'",
        ),
        (
            {"name": "mixed", "judge": {"endpoint": URLS, "longst": 200}},
            r"^reward\.judge\.longst: unknown key. Did you mean 'longest'",
        ),
        (
            {"name": "mixed", "rewards": {"x": {"score": "exact", "shaping": []}}},
            r"^reward\.rewards\.x: shaping stands around the whole reward and not in its parts",
        ),
        ({"name": f"{__name__}:Either", "of": ["exact"], "threshold": "x"}, r"^reward\.threshold: "),
    ],
)
def test_what_is_refused(reward: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(BASE, {"reward": reward})


@pytest.mark.parametrize(
    "reward",
    [
        {"name": "reflection", "answer": "choice", "side": [{"name": "repetition", "ngram": 5}]},
        {"name": "mixed", "rewards": {"x": {"name": "math"}}, "judge": {"endpoint": URLS}},
        {
            "score": {"name": "mixed", "rewards": {"x": "math"}},
            "shaping": [{"reward": "repetition", "weight": 1}],
        },
    ],
)
def test_what_is_named_reads_back_to_itself(reward: dict[str, Any]) -> None:
    recipe = load_recipe(BASE, {"reward": reward})
    assert recipe_to_plain(recipe)["reward"] == reward
    assert load_recipe(yaml.safe_load(yaml.safe_dump(recipe_to_plain(recipe)))) == recipe


@pytest.mark.parametrize(
    "reward",
    [
        reflection.Reward(choice.Reward(letters="AB"), side=(repetition.Reward(), calm)),
        mixed.Reward(
            rewards={"x": number.Reward(window=9)},
            judge=judge.Reward(Endpoint(("http://127.0.0.1:9/v1",), "m")),
            reflection=mixed.Reflection(side=(repetition.Reward(),)),
        ),
        mixed.Reward(),
    ],
    ids=["reflection", "mixed", "mixed by default"],
)
def test_objects_are_written_down_with_what_they_hold(reward: Any) -> None:
    plain = recipe_to_plain(load_recipe(BASE, {"reward": reward}))["reward"]
    found: Any = reward_from(yaml.safe_load(yaml.safe_dump(plain)))
    if isinstance(reward, reflection.Reward):  # A function is wrapped as it is read.
        assert found.side[0] == reward.side[0] and found.side[1].outcomes.function is calm
        assert (found.answer, found.variant) == (reward.answer, reward.variant)
    else:
        assert found == reward


def test_a_function_inside_a_mapping_is_written_down_by_its_name() -> None:
    recipe = load_recipe(BASE, {"reward": {"name": "mixed", "rewards": {"x": calm}}})
    assert recipe_to_plain(recipe)["reward"] == {"name": "mixed", "rewards": {"x": f"{__name__}:calm"}}


def test_an_override_reaches_a_reward_inside_a_reward() -> None:
    base = {**BASE, "reward": {"name": "reflection", "answer": {"name": "number"}}}
    recipe = load_recipe(base, parse_overrides(["reward.answer.window=50"]))
    assert reward_from(recipe.reward) == reflection.Reward(number.Reward(window=50))


def test_the_task_of_rows_of_several_kinds_is_a_file_with_the_mixed_reward() -> None:
    message = r"data\.train 'mixed': unknown key. Here this is path: FILE, or a data set of the hub: its rows"
    with pytest.raises(RecipeError, match=message):
        load_recipe(BASE, {"data": {"train": "mixed"}})

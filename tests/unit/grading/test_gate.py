"""A training does not begin with a reward that refuses the gold answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.grading import gate
from dapo.grading.adapt import as_reward
from dapo.grading.composition import Shaping, composed
from dapo.grading.gate import require_golds
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.rewards import exact, judge, number, reflection
from dapo.tasks import arithmetic, countdown
from dapo.types import Completion, Example
from dapo.verify.endpoint import Endpoint

SUMS = arithmetic.Task(train_size=300, eval_size=1)
SETTINGS = GradingSettings()
ENDPOINT = Endpoint(("http://127.0.0.1:9/v1",), "m")


def required(
    reward: Any, task: Any = SUMS, examples: Any = None, name: str = "", **settings: Any
) -> list[str]:
    found = task.train() if examples is None else examples
    return require_golds(name, task, found, Grader(reward), replace(SETTINGS, **settings))


def failing(count: int) -> Any:
    """A reward that refuses the first so many answers it sees."""
    seen: list[str] = []

    def reward(completion: Completion, example: Example) -> bool:
        seen.append(example.id)
        return len(seen) > count

    return reward


def test_golds_that_are_right_let_it_begin() -> None:
    grader = Grader(number.Reward())
    assert require_golds("", SUMS, SUMS.train(), grader, SETTINGS) == []
    assert grader.tally.graded == 0  # The figures of the run are of its own answers.


@pytest.mark.parametrize(("wrong", "begins"), [(2, True), (3, False)])
def test_99_in_100_of_200_golds_have_to_be_right(wrong: int, begins: bool) -> None:
    reward = failing(wrong)
    if begins:
        assert required(reward) == []
        return
    with pytest.raises(UserError, match=r"98\.5% of 200 gold answers"):
        required(reward)


def test_the_refusal_names_the_share_three_golds_and_the_ways_out() -> None:
    with pytest.raises(UserError) as refused:
        required(exact.Reward(marker="####"), name="sums", check_golds=50)
    message = str(refused.value)
    assert "0.0% of 50 gold answers of sums score as right under dapo.rewards.exact:Reward" in message
    assert (
        len(re.findall(r"\n  [0-9+]+: answer '\d+', gold completion '.*Answer: \d+': score 0", message)) == 3
    )
    for way in (
        "dapo reward check",
        "name a reward that fits",
        "grading.check_golds=0",
    ):
        assert way in message


def test_what_was_read_and_why_it_could_not_be_graded_stand_in_the_refusal() -> None:
    with pytest.raises(UserError, match="'0' was read"):
        required(lambda completion, example: {"score": 0, "pred": "0"})

    def broken(completion: Completion, example: Example) -> float:
        raise ZeroDivisionError("oh")

    with pytest.raises(UserError, match=r"could not be graded: .*ZeroDivisionError: oh"):
        required(broken)


def test_the_settings_switch_it_off_and_lower_the_bar() -> None:
    refuses = exact.Reward(marker="####")
    assert required(refuses, check_golds=0) == []
    assert required(refuses, min_gold_share=0.0) == []
    assert required(failing(20), min_gold_share=0.9) == []


@pytest.mark.parametrize(("key", "value"), [("check_golds", -1), ("min_gold_share", 1.1)])
def test_settings_that_mean_nothing_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        GradingSettings(**{key: value})


def test_a_task_without_golds_is_noted() -> None:
    examples = SUMS.train()
    assert required(exact.Reward(), object(), examples, "mine") == [
        "golds of mine were not checked: the task has no gold_completion"
    ]
    unknown = [Example("z", [], "24", {"nums": [4, 6]})]
    assert "the task knows none" in required(exact.Reward(), countdown.Task(), unknown)[0]


@dataclass(frozen=True)
class Paid:
    costly = True

    def __call__(self, completion: Completion, example: Example) -> bool:
        raise AssertionError("it must not be asked")


def paid(completion: Completion, example: Example) -> bool:
    raise AssertionError("it must not be asked")


paid.costly = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "reward",
    [
        Paid(),
        paid,
        judge.Reward(ENDPOINT),
        reflection.Reward(judge=ENDPOINT),
        composed(as_reward(number.Reward()), [Shaping(name="judge", weight=1.0, reward=as_reward(Paid()))]),
    ],
)
def test_costly_rewards_are_not_asked(reward: Any) -> None:
    [note] = required(reward)
    assert note.startswith("golds were not checked: the verdicts of ") and note.endswith(" are costly")


def test_what_declares_no_cost_is_asked() -> None:
    assert not Grader(number.Reward()).costly and not Grader(reflection.Reward()).costly


def test_golds_that_take_long_are_checked_as_far_as_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_SECONDS", -1.0)
    assert "the task knows none" in required(number.Reward())[0]


def test_sources_whose_ids_were_qualified_still_have_golds() -> None:
    """Where two sources share ids, `name:` comes before each."""
    examples = [replace(example, id=f"a:{example.id}") for example in SUMS.train()]
    assert required(number.Reward(), SUMS, examples) == []

"""A verdict with shaping: what is added, where a gate is shut, and what a failing part costs."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from dapo.algorithms import PRESETS
from dapo.errors import UserError
from dapo.grading.adapt import AdaptedReward, ScoreRangeError, as_reward
from dapo.grading.composition import Gate, Shaping, composed
from dapo.grading.grader import Grader
from dapo.learning.samples import with_rewards
from dapo.rewards import exact, format, instructions, language, length, repetition, shortest
from dapo.types import Completion, Example, Group, Prompt, Score

EXAMPLE = Example("row-1", [{"role": "user", "content": "2+2?"}], "4", {"level": "easy"})

RIGHT, WRONG, SILENT = "Answer: 4", "Answer: 5 !", "none!"
"""A right answer, a wrong one and no answer; the last two shout."""


def completions(*texts: str) -> list[Completion]:
    return [Completion([0] * len(text), [0.0] * len(text), [], [], "eos", text) for text in texts]


def calm(completion: Completion, example: Example) -> float:
    """0.25 with an exclamation mark, 0.75 without."""
    return 0.25 if "!" in completion.text else 0.75


def shaping(reward: Any = calm, **settings: Any) -> Shaping:
    return Shaping(reward=as_reward(reward), **{"name": "calm", "weight": 0.4, **settings})


def grade(*terms: Shaping, texts: Sequence[str] = (RIGHT, WRONG, SILENT), score: Any = None) -> list[Score]:
    return Grader(composed(as_reward(score or exact.Reward()), terms)).grade(completions(*texts), EXAMPLE)


def parts(*terms: Shaping, texts: Sequence[str] = (RIGHT, WRONG, SILENT)) -> list[float]:
    return [pytest.approx(score.parts["calm"]) for score in grade(*terms, texts=texts)]


def test_the_verdict_is_the_scores_own_and_the_others_only_add_to_the_reward() -> None:
    found = grade(shaping())
    assert [(score.score, score.answer, score.reward) for score in found] == [
        (1.0, "4", None),
        (0.0, "5 !", None),
        (0.0, None, None),
    ]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (1.0, [-0.1, -0.3, -0.3]),  # 0.4 x (0.75 - 1), 0.4 x (0.25 - 1): a penalty
        (0.0, [0.3, 0.1, 0.1]),  # 0.4 x 0.75, 0.4 x 0.25: a bonus
        (0.5, [0.1, -0.1, -0.1]),  # 0.4 x 0.25, 0.4 x -0.25: around zero
    ],
)
def test_weight_and_offset(offset: float, expected: list[float]) -> None:
    assert parts(shaping(offset=offset)) == expected
    low, high = shaping(offset=offset).bounds
    assert (low, high) == pytest.approx((-0.4 * offset, 0.4 * (1 - offset)))


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("always", [-0.1, -0.3, -0.3]),
        ("correct", [-0.1, 0.0, 0.0]),
        ("wrong", [0.0, -0.3, -0.3]),
        ("parsed", [-0.1, -0.3, 0.0]),
    ],
)
def test_nothing_is_added_where_the_gate_is_shut(gate: Gate, expected: list[float]) -> None:
    assert parts(shaping(gate=gate)) == expected


def test_a_graded_verdict_is_correct_from_a_half_on() -> None:
    def graded(completion: Completion, example: Example) -> float:
        return float(completion.text)

    found = grade(shaping(gate="correct"), texts=["0.5", "0.49"], score=graded)
    assert [score.parts["calm"] for score in found] == [pytest.approx(-0.1), 0.0]
    found = grade(shaping(gate="wrong"), texts=["0.5", "0.49"], score=graded)
    assert [score.parts["calm"] for score in found] == [0.0, pytest.approx(-0.1)]


def test_the_parts_reach_the_reward_of_the_rollout() -> None:
    group = Group(Prompt(EXAMPLE, [1], 100), completions(RIGHT, WRONG))
    graded = with_rewards(group, grade(shaping(), texts=(RIGHT, WRONG)), PRESETS["grpo"], 100)
    assert [rollout.reward for rollout in graded.rollouts] == pytest.approx([1 - 0.1, -1 - 0.3])


def test_several_terms_stand_beside_the_verdicts_own_parts() -> None:
    def with_part(completion: Completion, example: Example) -> Score:
        return Score(1.0, parts={"own": -0.5})

    found = grade(shaping(), shaping(name="twice", weight=1, gate="wrong"), texts=["!"], score=with_part)
    assert found[0].parts == {"own": -0.5, "calm": pytest.approx(-0.3), "twice": 0.0}
    with pytest.raises(UserError, match="already has a part 'own'; give the entry of shaping another `name`"):
        grade(shaping(name="own"), texts=["!"], score=with_part)


def shortest_text(completions: list[Completion], example: Example) -> list[float]:
    least = min(len(completion.text) for completion in completions)
    return [float(len(completion.text) == least) for completion in completions]


def test_a_group_reward_compares_what_the_gate_lets_through_or_the_whole_group() -> None:
    texts = ["hm. Answer: 4", "Answer: 4", "no"]
    assert parts(shaping(shortest_text, gate="correct"), texts=texts) == [-0.4, 0.0, 0.0]
    assert parts(shaping(shortest_text, gate="correct", among="group"), texts=texts) == [-0.4, -0.4, 0.0]


def test_a_reward_behind_a_shut_gate_is_not_asked() -> None:
    seen: list[str] = []

    def note(completion: Completion, example: Example) -> float:
        seen.append(completion.text)
        return 1.0

    grade(shaping(note, gate="correct"))
    assert seen == [RIGHT]
    grade(shaping(note, gate="correct", among="group"), texts=[WRONG])
    assert seen == [RIGHT]


def trl(completions: list[str], level: list[str], **columns: Any) -> list[float | None]:
    return [
        None if "none" in text else float(name == "easy")
        for text, name in zip(completions, level, strict=True)
    ]


async def verl(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None
) -> dict[str, Any]:
    right = ground_truth in solution_str
    return {"score": 1.0 if right else -1.0, "acc": right, "pred": solution_str}


def test_functions_with_trls_and_verls_signatures_stand_at_either_place() -> None:
    found = grade(shaping(trl), score=verl)
    assert [(score.score, score.reward) for score in found] == [(1, 1), (0, -1), (0, -1)]
    assert [score.parts["calm"] for score in found] == [0.0, 0.0, 0.0]
    found = grade(shaping(verl), score=trl, texts=[RIGHT, WRONG])
    assert [score.score for score in found] == [1, 1]
    assert [score.parts["calm"] for score in found] == [0.0, -0.4]


def test_a_shaping_reward_that_cannot_judge_costs_its_part_and_not_the_verdict() -> None:
    def fails(completion: Completion, example: Example) -> float:
        if "!" in completion.text:
            raise RuntimeError("no loud texts")
        return 0.5

    grader = Grader(composed(as_reward(exact.Reward()), [shaping(fails), shaping(name="other")]))
    right, loud = grader.grade(completions(RIGHT, "! Answer: 4"), EXAMPLE)
    assert right == Score(1.0, answer="4", parts={"calm": -0.2, "other": pytest.approx(-0.1)})
    assert (loud.score, loud.error) == (1.0, None)
    assert loud.parts == {"calm": 0.0, "other": pytest.approx(-0.3)}
    assert loud.part_errors == {"calm": "the reward function raised RuntimeError: no loud texts"}
    assert right.error is None


@pytest.mark.parametrize("value", [None, float("nan"), "good", [1.0]])
def test_what_is_no_number_is_no_judgement(value: Any) -> None:
    [found] = grade(shaping(lambda completion, example: value), texts=[RIGHT])
    assert (found.score, found.parts) == (1.0, {"calm": 0.0}) and "calm" in found.part_errors


def test_a_mapping_to_scores_that_raises_costs_as_little() -> None:
    def broken(value: float) -> float:
        return 1 / 0

    loud = as_reward(lambda completion, example: 5.0, to_score=broken)
    [found] = grade(shaping(loud), texts=[RIGHT])
    assert (found.score, found.parts) == (1.0, {"calm": 0.0})
    assert "ZeroDivisionError" in found.part_errors["calm"]
    [found] = grade(shaping(), texts=[RIGHT], score=loud)
    assert "ZeroDivisionError" in str(found.error)


def test_a_verdict_that_could_not_be_had_is_an_error_and_is_not_shaped() -> None:
    def fails(completion: Completion, example: Example) -> float:
        if "!" in completion.text:
            raise RuntimeError("no loud texts")
        return 1.0

    grader = Grader(composed(as_reward(fails), [shaping()]))
    right, loud = grader.grade(completions(RIGHT, WRONG), EXAMPLE)
    assert right.parts == {"calm": pytest.approx(-0.1)} and right.error is None
    assert (loud.score, loud.parts) == (0.0, {}) and "no loud texts" in str(loud.error)


def test_numbers_outside_the_range_stop_the_run_and_say_which_reward_gave_them() -> None:
    def minus(completion: Completion, example: Example) -> float:
        return -1.0

    with pytest.raises(ScoreRangeError, match=r"shaping 'calm': reward: -1.0 is no score from 0 to 1"):
        grade(shaping(minus))
    with pytest.raises(ScoreRangeError):
        grade(shaping(), score=minus)
    assert parts(shaping(as_reward(minus, score_range=[-1, 1]))) == [-0.4] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": 0}, "weight must be greater than 0, not 0; leave the entry out"),
        ({"weight": float("nan")}, "weight must be greater than 0"),
        ({"offset": 1.5}, r"offset must lie in \[0, 1\], not 1.5"),
        ({"gate": "right"}, "gate must be one of always, correct, wrong, parsed, not 'right'"),
        ({"name": "reward"}, "choose another"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shaping(**settings)


def test_impossible_compositions() -> None:
    score = as_reward(exact.Reward())
    with pytest.raises(ValueError, match="at least one entry"):
        composed(score, [])
    with pytest.raises(ValueError, match="two entries of shaping are named 'calm'"):
        composed(score, [shaping(), shaping(gate="wrong")])
    with pytest.raises(ValueError, match="compositions do not nest"):
        composed(composed(score, [shaping()]), [shaping()])
    with pytest.raises(ValueError, match="compositions do not nest"):
        composed(score, [shaping(composed(score, [shaping()]))])


OWN: list[Any] = [
    format.Reward("regex", regex="4$"),
    instructions.Reward(),
    language.Reward("en"),
    length.Reward(8),
    repetition.Reward(),
    shortest.Reward(),
]


@pytest.mark.parametrize("reward", OWN, ids=lambda reward: reward.name)
def test_the_packages_own_shaping_is_named_by_its_file_and_travels_to_another_process(reward: Any) -> None:
    assert type(reward).__module__ == f"dapo.rewards.{reward.name}"
    here = composed(as_reward(exact.Reward()), [shaping(reward, name="own")])
    there: AdaptedReward = pickle.loads(pickle.dumps(here))
    columns = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    example = Example("row-1", EXAMPLE.messages, "4", columns)
    found, expected = (Grader(one).grade(completions(RIGHT, WRONG), example) for one in (there, here))
    assert found == expected and not any(score.part_errors for score in found)

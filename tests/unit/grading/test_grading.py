from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from dapo.errors import UserError
from dapo.grading.adapt import ScoreRangeError, as_reward
from dapo.grading.grader import Grader
from dapo.rewards import math_dapo
from dapo.types import Completion, Example, Score

EXAMPLE = Example(
    "row-1",
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
    "4",
    {"data_source": "sums", "extra_info": {"index": 7}, "level": "easy"},
)


def completions(*texts: str) -> list[Completion]:
    return [Completion([len(text)], [0.0], [0], [True], "eos", text) for text in texts]


def scores(reward: Any, *texts: str) -> list[float]:
    return [score.score for score in Grader(reward).grade(completions(*texts), EXAMPLE)]


# --- our own signature


@pytest.mark.parametrize(
    ("value", "score"),
    [
        *((True, 1.0), (False, 0.0), (1, 1.0), (0.25, 0.25), (1 + 1e-9, 1.0), (-1e-9, 0.0)),
        *((np.True_, 1.0), (np.float32(0.5), 0.5), (np.int64(1), 1.0), (torch.tensor(0.5), 0.5)),
        *((torch.tensor([True]), 1.0), (Score(0.5, answer="4"), 0.5)),
    ],
)
def test_verdicts(value: Any, score: float) -> None:
    [found] = Grader(lambda completion, example: value).grade(completions("x"), EXAMPLE)
    assert found.score == score
    assert found.reward is None and found.error is None


def test_a_score_says_everything_itself() -> None:
    verdict = Score(0.5, reward=-3.0, answer="4", parts={"format": -0.1})
    assert Grader(lambda completion, example: verdict).grade(completions("x"), EXAMPLE) == [verdict]


def test_the_function_sees_completion_and_example() -> None:
    def reward(completion: Completion, example: Example, bonus: float = 0.0) -> bool:
        return completion.text == example.answer

    assert scores(reward, "4", "5") == [1.0, 0.0]


def test_instances_partial_functions_and_the_package_s_own_rewards() -> None:
    @dataclass(frozen=True)
    class Longer:
        than: int

        def __call__(self, completion: Completion, example: Example) -> bool:
            return len(completion.text) > self.than

    def longer(completion: Completion, example: Example, than: int) -> bool:
        return len(completion.text) > than

    assert scores(Longer(2), "xx", "xxx") == [0.0, 1.0]
    assert scores(functools.partial(longer, than=2), "xx", "xxx") == [0.0, 1.0]
    assert scores(math_dapo.Reward(), "Answer: 4", "4") == [1.0, 0.0]


def test_an_adapted_reward_is_a_reward() -> None:
    reward = as_reward(lambda completions, **columns: [text == "4" for text in completions])
    assert reward(completions("4")[0], EXAMPLE) == Score(1.0)
    assert as_reward(reward) is reward
    with pytest.raises(UserError, match="the reward function raised ZeroDivisionError"):
        as_reward(lambda completion, example: 1 / 0)(completions("4")[0], EXAMPLE)


# --- our own signature for a whole group


def test_a_group_reward_sees_all_completions_of_the_prompt_at_once() -> None:
    def longest(completions: list[Completion], example: Example) -> list[bool | Score]:
        assert example is EXAMPLE
        most = max(len(completion.text) for completion in completions)
        return [
            Score(float(len(completion.text) == most), answer=completion.text) for completion in completions
        ]

    assert scores(longest, "a", "bbb", "cc") == [0.0, 1.0, 0.0]
    [alone] = Grader(longest).grade(completions("a"), EXAMPLE)
    assert alone == Score(1.0, answer="a")


def test_a_group_reward_with_too_few_scores_grades_none() -> None:
    def short(completions: list[Completion], example: Example) -> list[float]:
        return [1.0]

    found = Grader(short).grade(completions("a", "b"), EXAMPLE)
    assert [score.error for score in found] == ["the reward function returned 1 scores for 2 completions"] * 2


# --- TRL's signature


def test_trl_functions_get_lists_with_an_entry_per_completion() -> None:
    seen: dict[str, Any] = {}

    def reward(
        prompts: list[str], completions: list[str], completion_ids: list[list[int]], **kwargs: Any
    ) -> list[float]:
        seen.update(kwargs, prompts=prompts, completions=completions, completion_ids=completion_ids)
        return [float(text == answer) for text, answer in zip(completions, kwargs["answer"], strict=True)]

    assert scores(reward, "4", "11") == [1.0, 0.0]
    assert seen == {
        "prompts": ["Be brief.\n2+2?"] * 2,
        "completions": ["4", "11"],
        "completion_ids": [[1], [2]],
        "answer": ["4", "4"],
        "data_source": ["sums", "sums"],
        "extra_info": [{"index": 7}, {"index": 7}],
        "level": ["easy", "easy"],
    }


def test_trl_functions_get_only_what_they_ask_for() -> None:
    def reward(completions: list[str], level: list[str]) -> list[float]:
        return [float(name == "easy") for name in level]

    assert scores(reward, "4", "5") == [1.0, 1.0]


def test_trl_functions_of_conversations_get_messages() -> None:
    def reward(completions: list[Any], prompts: list[Any], **kwargs: Any) -> list[float]:
        assert prompts[0][-1]["content"] == "2+2?"
        return [float(completion[0]["content"] == "4") for completion in completions]

    assert scores(as_reward(reward, conversational=True), "4", "5") == [1.0, 0.0]


def test_a_column_that_a_trl_function_misses_is_named() -> None:
    def reward(completions: list[str], levels: list[str]) -> list[float]:
        return [0.0 for _ in completions]

    with pytest.raises(
        UserError, match=r"asks for 'levels', .* no such column; the nearest is 'level'; rename"
    ):
        scores(reward, "4")


@pytest.mark.parametrize("container", [list, tuple, np.array, torch.tensor])
def test_trl_functions_may_return_any_array(container: Any) -> None:
    assert scores(lambda completions, **columns: container([1.0, 0.5]), "4", "5") == [1.0, 0.5]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ([1.0], "returned 1 scores for 2 completions"),
        (1.0, "returned a float, not a list"),
        ("ab", "returned a str, not a list"),
        (None, "returned a NoneType, not a list"),
    ],
)
def test_a_trl_function_that_returns_no_such_list(result: Any, reason: str) -> None:
    grader = Grader(lambda completions, **columns: result)
    graded = grader.grade(completions("4", "5"), EXAMPLE)
    assert [score.score for score in graded] == [0.0, 0.0]
    assert all(reason in str(score.error) for score in graded)
    assert grader.tally.errors == 2


def test_none_in_a_trl_list_is_ungraded() -> None:
    grader = Grader(lambda completions, **columns: [1.0, None])
    right, ungraded = grader.grade(completions("4", "5"), EXAMPLE)
    assert right == Score(1.0)
    assert ungraded.error == "the reward function returned None, which is no number"


# --- verl's signature


def test_verl_functions() -> None:
    def compute_score(
        data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, int] | None = None
    ) -> float:
        assert (data_source, extra_info) == ("sums", {"index": 7})
        return float(solution_str == ground_truth)

    assert scores(compute_score, "4", "5") == [1.0, 0.0]
    assert scores(lambda solution_str, ground_truth: solution_str == ground_truth, "4", "5") == [1.0, 0.0]
    assert scores(lambda solution_str, **others: solution_str == others["ground_truth"], "4") == [1.0]


def test_verl_dicts() -> None:
    def compute_score(
        data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None
    ) -> dict[str, Any]:
        right = solution_str == ground_truth
        return {"score": 1.0 if right else -1.0, "acc": right, "pred": solution_str or None}

    grader = Grader(compute_score)
    assert grader.grade(completions("4", "5", ""), EXAMPLE) == [
        Score(1.0, reward=1.0, answer="4"),
        Score(0.0, reward=-1.0, answer="5"),
        Score(0.0, reward=-1.0, answer=None),
    ]
    assert (grader.tally.graded, grader.tally.errors, grader.tally.parse_failures) == (3, 0, 1)


def test_verl_dicts_without_acc_go_by_their_score() -> None:
    assert scores(lambda solution_str: {"score": 0.5, "pred": "x"}, "4") == [0.5]
    reward = as_reward(lambda solution_str: {"score": -1.0}, score_range=(-1, 1))
    assert Grader(reward).grade(completions("4"), EXAMPLE) == [Score(0.0, reward=-1.0)]
    [score] = Grader(lambda solution_str: {"acc": 1}).grade(completions("4"), EXAMPLE)
    assert score.error == "the reward function returned a dict without 'score': ['acc']"


# --- async


@pytest.mark.parametrize("inside_a_running_loop", [False, True])
def test_async_functions_run_together(inside_a_running_loop: bool) -> None:
    waiting: list[str] = []

    async def reward(completion: Completion, example: Example) -> float:
        waiting.append(completion.text)
        while len(waiting) < 3:
            await asyncio.sleep(0)
        if completion.text == "bad":
            raise RuntimeError("service is down")
        return 1.0

    async def notebook() -> list[Score]:
        return Grader(reward).grade(completions("a", "bad", "c"), EXAMPLE)

    graded = (
        asyncio.run(notebook())
        if inside_a_running_loop
        else Grader(reward).grade(completions("a", "bad", "c"), EXAMPLE)
    )
    assert [score.score for score in graded] == [1.0, 0.0, 1.0]
    assert graded[1].error == "the reward function raised RuntimeError: service is down"


def test_async_functions_of_every_signature_share_one_loop() -> None:
    loops = []

    async def trl(completions: Sequence[str], **columns: Any) -> list[float]:
        loops.append((asyncio.get_running_loop(), threading.current_thread()))
        return [1.0 for _ in completions]

    async def verl(solution_str: str, ground_truth: str) -> float:
        loops.append((asyncio.get_running_loop(), threading.current_thread()))
        return 0.5

    assert scores(trl, "4", "5") == [1.0, 1.0]
    assert scores(verl, "4") == [0.5]
    assert loops[0] == loops[1]


# --- numbers that are no scores


@pytest.mark.parametrize("value", [-1.0, 2, 1.001])
def test_a_number_outside_the_range_needs_a_mapping(value: float) -> None:
    with pytest.raises(
        ScoreRangeError, match=r"no score from 0 to 1; declare .* score_range .* or with .* to_score"
    ):
        scores(lambda completion, example: value, "x")
    with pytest.raises(ScoreRangeError, match="no score from 0 to 1"):
        scores(lambda completion, example: Score(value), "x")


def test_a_mapping_makes_the_score_and_leaves_the_reward() -> None:
    by_range = as_reward(lambda completion, example: float(completion.text), score_range=[-1, 1])
    assert Grader(by_range).grade(completions("-1", "0", "1"), EXAMPLE) == [
        *(Score(0.0, reward=-1.0), Score(0.5, reward=0.0), Score(1.0, reward=1.0))
    ]
    by_function = as_reward(lambda completion, example: 7.0, to_score=lambda value: value > 5)
    assert Grader(by_function).grade(completions("x"), EXAMPLE) == [Score(1.0, reward=7.0)]
    with pytest.raises(ScoreRangeError):
        Grader(by_range).grade(completions("3"), EXAMPLE)


def test_a_truth_value_needs_no_mapping() -> None:
    reward = as_reward(lambda completion, example: False, score_range=(-1, 1))
    assert Grader(reward).grade(completions("x"), EXAMPLE) == [Score(0.0)]


# --- errors of users' code


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((float("nan"), "returned nan"), (float("inf"), "returned inf"), (None, "returned None")),
        *(("1", "returned a str"), ([1.0], "returned a list"), (torch.zeros(2), "returned a Tensor")),
        *((Score(float("nan")), "returned nan"), (Score(1.0, parts={"x": float("nan")}), "returned nan")),
        *((Score(1.0, reward=float("inf")), "returned inf"), (Score(1.0, error="timed out"), "timed out")),
    ],
)
def test_what_is_no_verdict_is_an_error_of_that_completion(value: Any, reason: str) -> None:
    grader = Grader(lambda completion, example: value if completion.text == "bad" else 1.0, error_score=0.5)
    good, bad = grader.grade(completions("good", "bad"), EXAMPLE)
    assert good == Score(1.0)
    assert bad.score == 0.5 and reason in str(bad.error)
    assert (grader.tally.graded, grader.tally.errors, grader.tally.parse_failures) == (2, 1, 0)


def test_an_exception_strikes_only_its_completion() -> None:
    grader = Grader(lambda completion, example: 1 / int(completion.text))
    graded = grader.grade(completions("1", "0", "x", "2"), EXAMPLE)
    assert [score.score for score in graded] == [1.0, 0.0, 0.0, 0.5]
    assert graded[1].error == "the reward function raised ZeroDivisionError: division by zero"
    assert grader.tally.errors == 2


def test_an_interrupt_is_not_swallowed() -> None:
    def reward(completion: Completion, example: Example) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores(reward, "x")


def test_parse_failures_are_answers_not_found() -> None:
    grader = Grader(math_dapo.Reward())
    grader.grade(completions("Answer: 5", "no answer", ""), EXAMPLE)
    assert (grader.tally.graded, grader.tally.errors, grader.tally.parse_failures) == (3, 0, 2)
    plain = Grader(lambda completion, example: 0.0)
    plain.grade(completions("no answer"), EXAMPLE)
    assert plain.tally.parse_failures == 0


# --- functions and settings that cannot work


def test_signatures_that_fit_nothing_are_named() -> None:
    with pytest.raises(
        UserError,
        match=r"has the parameters \(text, truth\); write \(completion, example\), or \(completions",
    ):
        as_reward(lambda text, truth: 0.0)
    with pytest.raises(UserError, match=r"nothing is known to give .* for 'judge'; add a default"):
        as_reward(lambda completion, example, judge: 0.0)
    with pytest.raises(UserError, match="give a function or an instance"):
        as_reward(math_dapo.Reward.__class__)


@pytest.mark.parametrize("score_range", [(1, -1), (0, 0), (1,), (0, 1, 2)])
def test_a_score_range_must_be_one(score_range: Any) -> None:
    with pytest.raises(UserError, match="score_range must be"):
        as_reward(lambda completion, example: 0.0, score_range=score_range)


def test_settings_that_exclude_each_other() -> None:
    with pytest.raises(UserError, match="exclude each other"):
        as_reward(lambda completion, example: 0.0, to_score=float, score_range=(-1, 1))
    with pytest.raises(ValueError, match=r"error_score must lie in \[0, 1\]"):
        Grader(math_dapo.Reward(), error_score=-1.0)

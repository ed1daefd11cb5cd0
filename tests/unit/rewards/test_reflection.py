from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dapo.rewards.reflection import Reward
from dapo.types import Completion, Example, Score
from dapo.verify.endpoint import Endpoint
from tests.unit.verify.model_server import model_server, status

FOUND = "So the answer to this is 42.\n"
AGAIN = "Let me check, it is 42 again.\n"
OTHER = "But what of the other cases?\n"
ELSE = "I really cannot tell from this.\n"


def write(thoughts: str, answer: str = "42", close: str = "</think>") -> Completion:
    return Completion([], [], [], [], "eos", f"<think>{thoughts}{close}\nAnswer: {answer}")


def rewards(
    *completions: Completion, reward: Reward | None = None, gold: str = "42", **columns: Any
) -> list[Any]:
    scores = (reward or Reward())(list(completions), Example("1", [], gold, columns))
    return [score.reward for score in scores]


def test_the_verdict_is_that_of_the_answer() -> None:
    scores = Reward()([write(FOUND), write(FOUND, "7"), write(ELSE)], Example("1", [], "42"))
    assert [(score.score, score.answer) for score in scores] == [(1.0, "42"), (0.0, "7"), (1.0, "42")]


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        (write(ELSE), -3),  # Right, and not by its thoughts: -1 -1 -1.
        (write(FOUND), 3),  # 1 + 1 + 1
        (write(FOUND, "7"), -1),  # 1 - 1 - 1
        (write(FOUND + AGAIN * 2), 3),  # Two verifications are free.
        (write(FOUND + AGAIN * 6), 2.5),  # 1 + (1 - 4/8) + 1
        (write(FOUND + AGAIN * 12), 2),  # 1 + 0 + 1
        (write(FOUND + OTHER), 3),  # Goes on without coming back: 1 + 1 + 1
    ],
)
def test_a_solved_prompt(completion: Completion, reward: float) -> None:
    """Another right completion keeps the pass rate at a half, and the bounds at 2 and 10."""
    assert rewards(completion, write(FOUND))[0] == reward


def test_three_verifications_of_a_wrong_answer() -> None:
    assert rewards(write(FOUND + AGAIN * 3, "7"), write(FOUND))[0] == 0.875  # 1 + (1 - 1/8) - 1


def test_thoughts_that_never_close() -> None:
    """Ending with the answer they found, and without `</think>`: 1 - 1 - 1, however the answer was read."""
    cut = Completion([], [], [], [], "length", "<think>Answer: 42 it is, to be sure, Answer: 42")
    assert rewards(cut, write(FOUND))[0] == -1


def test_an_unsolved_prompt_is_bounded_by_its_completions() -> None:
    """One of four is right. Verifications: 4 (right), 0, 8 and 4 (wrong)."""
    group = [
        write(FOUND + AGAIN * 4),
        write(FOUND, "7"),
        write(FOUND + AGAIN * 8, "7"),
        write(FOUND + AGAIN * 4, "7"),
    ]
    # Paper: from 0 to 8. 1 + (1 - 4/8) + 1; 1 - 1 - 1; 1 + 0 - 1; 1 + 1/2 - 1.
    assert rewards(*group) == [2.5, -1, 0, 0.5]
    # Code: from 4 to 4, the right one's own, where nothing is too much.
    assert rewards(*group, reward=Reward(variant="code")) == [3, -1, 1, 1]


def test_the_code_counts_what_follows_as_a_verification() -> None:
    group = [write(FOUND + AGAIN * 5 + OTHER), write(FOUND)]
    assert rewards(*group)[0] == 2.625  # 5: 1 + (1 - 3/8) + 1
    assert rewards(*group, reward=Reward(variant="code"))[0] == 2.5  # 6: 1 + (1 - 4/8) + 1


def never(completion: Completion, example: Example) -> Score:
    return Score(score=float("never" not in completion.text))


def test_a_side_that_does_not_hold_costs_one() -> None:
    reward = Reward(side=(never, never))
    group = [write(FOUND), write(FOUND + "never\n"), write(ELSE + "never")]
    assert rewards(*group, reward=reward) == [3, 2, -4]


def test_no_thinking_no_reflection() -> None:
    for columns in ({"enable_thinking_flag": False}, {"extra_info": {"enable_thinking_flag": False}}):
        assert rewards(write(ELSE), **columns) == [None]
    assert rewards(write(ELSE), extra_info={"enable_thinking_flag": True}) == [-3]


def broken(completion: Completion, example: Example) -> Score:
    if "7" in completion.text:
        raise RuntimeError("no verdict")
    return Score(score=1.0, answer="42")


def test_an_answer_that_cannot_be_judged_leaves_the_others() -> None:
    scores = Reward(answer=broken)([write(FOUND), write(FOUND, "7")], Example("1", [], "42"))
    assert scores[0].reward == 3
    assert scores[1].error == "RuntimeError: no verdict"


def test_completions_without_a_verdict_do_not_count_in_the_pass_rate() -> None:
    """One of one is right, not one of three: the bounds stay at 2 and 10."""
    group = [write(FOUND + AGAIN * 6), write(FOUND, "7"), write(FOUND, "77")]
    assert rewards(*group, reward=Reward(answer=broken))[0] == 2.5


def test_an_annotation_that_fails_leaves_plus_or_minus_one() -> None:
    with model_server(lambda prompt: "ANSWER location 1: [So the answer to this is 42]") as served:
        judge = Endpoint((served.url,), "m", concurrency=1, retries=0)
        group = [write(FOUND), write(FOUND + "x", "7"), write(FOUND + OTHER)]
        served.failures = [status(400), status(400)]
        reward = Reward(judge=judge, side=(lambda completion, example: Score(score=0.0),))
        assert rewards(*group, reward=reward) == [1, -1, 2]  # 1 + 1 + 1, and the side takes 1.


def test_a_judge_in_the_place_of_the_rule() -> None:
    """It knows the answer in other words. It is shown the line of the completion's own box."""
    text = (
        "<think>We see that it is forty-two.\n</think>\nfirst \\boxed{1}\nSo it is \\boxed{42}!\nAnswer: 42"
    )
    with model_server(lambda prompt: "ANSWER location 1: [it is forty-two]") as served:
        reward = Reward(judge=Endpoint((served.url,), "m"))
        assert rewards(replace(write(""), text=text), reward=reward) == [3]
    assert "which is:\nSo it is \\boxed{42}!\n" in served.prompts[0]


def test_long_thoughts_before_a_wrong_letter_are_left_alone_by_the_code() -> None:
    long = write("The option is B, I would think.\n" * 800, "C")
    assert len(long.text) > 25_000
    assert rewards(long, gold="B", reward=Reward(variant="code")) == [-1]
    assert rewards(long, gold="B") == [1 + 1 - 1]  # Its own 799 verifications are the least and the most.


def test_an_empty_group() -> None:
    assert rewards() == []


@pytest.mark.parametrize(
    "text", ["", "</think>", "<think>" * 30_000, "</think>" * 30_000, "\0", "\\boxed{" * 9999]
)
def test_strange_texts(text: str) -> None:
    for variant in ("paper", "code"):
        [score] = Reward(variant=variant)([replace(write(""), text=text)], Example("1", [], "42"))
        assert score.reward == -3 and score.score == 0

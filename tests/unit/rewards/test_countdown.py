"""Countdown's reward reads one equation and computes it itself."""

from __future__ import annotations

import time

import pytest

from dapo.rewards import countdown
from dapo.types import Completion, Example, Score

EXAMPLE = Example("1", [], "24", {"nums": [3, 3, 8, 8]})


def grade(text: str, example: Example = EXAMPLE, reward: countdown.Reward | None = None) -> Score:
    return (reward or countdown.Reward())(Completion([], [], [], [], "eos", text), example)


@pytest.mark.parametrize(
    "equation", ["8 / (3 - 8 / 3)", "8/(3-8/3) = 24", "$8 ÷ (3 \N{MINUS SIGN} 8÷3)$", "((8))/(3-(8/3))"]
)
def test_equations_of_the_right_numbers_and_value(equation: str) -> None:
    """8 / (3 - 8/3) = 8 / (1/3) = 24: only fractions on the way get there."""
    assert grade(f"Let me see. <answer> {equation} </answer>").score == 1.0
    assert grade(f"So\n**Answer:** {equation}").score == 1.0


@pytest.mark.parametrize(
    "equation",
    [
        "3 * 8",  # not all numbers
        "3 + 3 + 8 + 8 + 2",  # one too many
        "33 - 8 - 8 + 7",
        "8 + 8 + 3 + 3",  # 22
        "8 / (3 - 3) + 8",  # divides by zero
        "24",
        "-3 + 3 + 8 * 8",
        "8 ** 3 + 3 + 8",
        "8 // 3 * 3 * 8",
        "8, 3, 3, 8",
        "8(3)(3)(8)",
        "٨ / (٣ - ٨ / ٣)",  # Arabic digits
        "__import__('os').getcwd()",
    ],
)
def test_everything_else_is_wrong(equation: str) -> None:
    assert grade(f"<answer>{equation}</answer>").score == 0.0


def test_the_last_equation_counts() -> None:
    right, wrong = "<answer>8/(3-8/3)</answer>", "<answer>8+8+3+3</answer>"
    assert (grade(right + wrong).score, grade(wrong + right).score) == (0.0, 1.0)
    assert grade("8/(3-8/3)") == grade("<answer></answer>") == grade("") == Score(0.0)
    assert grade(right).answer == "8/(3-8/3)"


def test_a_share_for_the_right_numbers() -> None:
    reward = countdown.Reward(format_score=0.1)
    texts = ["<answer>8/(3-8/3)</answer>", "<answer>3+3+8+8</answer>", "<answer>8+8</answer>"]
    assert [grade(text, reward=reward).score for text in texts] == [1.0, 0.1, 0.0]
    with pytest.raises(ValueError, match=r"format_score must lie in \[0, 1\)"):
        countdown.Reward(format_score=1.0)


@pytest.mark.parametrize(
    "text",
    ["(" * 190, "-" * 199, "9" * 200, "1+" * 90 + "1", "9" * 100_000, "<answer>" * 20_000, "(" * 10**6],
)
def test_nothing_takes_long_or_raises(text: str) -> None:
    start = time.perf_counter()
    for whole in (text, f"<answer>{text}</answer>", f"Answer: {text}"):
        assert grade(whole).score == 0.0
    assert time.perf_counter() - start < 2

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dapo.rewards.math_dapo import Reward, normalise
from dapo.types import Completion, Example, Score

SHARED = os.environ.get("DAPO_SHARED")


def judge(text: str, gold: str, reward: Reward | None = None) -> Score:
    completion = Completion([], [], [], [], "eos", text)
    return (reward or Reward())(completion, Example("x", [], gold))


# Verdicts of verl's scorer: (completion, gold answer, right?, the answer found).
VERDICTS = [
    ("blah\nAnswer: 34", "34", True, "34"),
    ("Answer: \\boxed{34}", "34", True, "34"),
    ("Answer: 34.", "34", False, "34."),
    ("Answer: 34.0", "34", False, "34.0"),
    ("answer:34", "34", True, "34"),
    ("ANSWER :\n34", "34", True, "34"),
    ("Answer: 1,234", "1234", True, "1234"),
    ("Answer: -7", "-7", True, "-7"),
    ("Answer: $-7$ dollars", "-7", True, "-7"),
    ("Answer: x = 5", "5", True, "5"),
    ("Answer: 5\nAnswer: 6", "6", True, "6"),
    ("Answer: 34" + 300 * " ", "34", False, None),
    ("Answer: 12 \\text{ cm}", "12", True, "12"),
    ("Answer: 90^\\circ", "90", True, "90"),
    ("Answer: **34**", "34", False, "**34**"),
    ("Answer: 34 (since 3+4=7)", "34", False, "7)"),
    ("Answer: \\(34\\)", "34", False, "\\(34\\)"),
    ("", "34", False, None),
    ("Answer: +34", "34", False, "+34"),
    ("Answer: 007", "7", False, "007"),
    ("\\boxed{34}", "34", False, None),
    ("Answer: $$34$$", "34", False, None),
    ("Answer: \\frac12", "\\frac{1}{2}", True, "\\frac{1}{2}"),
    ("Answer: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", True, "\\frac{1}{2}"),
    ("Answer: \\sqrt2", "\\sqrt{2}", True, "\\sqrt{2}"),
    ("Answer: 3 and $5$ or $6$", "5", True, "5"),
]


@pytest.mark.parametrize(("text", "gold", "right", "answer"), VERDICTS)
def test_verdicts_of_the_original(text: str, gold: str, right: bool, answer: str | None) -> None:
    assert judge(text, gold) == Score(score=float(right), answer=answer)


@pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED is not set")
def test_golden_cases() -> None:
    assert SHARED is not None
    cases = json.loads(Path(SHARED, "golden", "vectors.json").read_text())["cases"]
    cases = [case for case in cases if case["id"].startswith("math_dapo/")]
    assert len(cases) == 15
    for case in cases:
        inputs, outputs = case["inputs"], case["outputs"]
        found = judge(inputs["solution"], inputs["ground_truth"])
        assert found.score == float(outputs["acc"]), case["id"]
        assert (found.answer or "[INVALID]") == outputs["pred"], case["id"]


def test_an_answer_of_which_nothing_is_left_never_counts() -> None:
    assert judge("Answer: $$", "$$5$$").score == 0


def test_the_window_reaches_as_far_as_it_says() -> None:
    assert [judge("Answer: 34" + blanks * "\n", "34").score for blanks in (290, 291)] == [1, 0]
    text = "Answer: 34" + 400 * "\n"
    assert judge(text, "34", Reward(window=410)).score == 1
    with pytest.raises(ValueError, match="window must lie between 1 and 10000"):
        Reward(window=0)


@pytest.mark.parametrize(
    ("text", "right", "answer"),
    [
        ("so \\boxed{12} or \\boxed{34}", True, "34"),
        ("\\boxed{{34}}", False, "{34}"),
        ("\\boxed{34.}", False, "34."),
        ("Answer: 34", False, None),
        ("\\boxed{34", False, None),
        ("\\boxed{34}" + 100 * " ", False, None),
    ],
)
def test_strict_box_compares_the_last_box_as_it_stands(text: str, right: bool, answer: str | None) -> None:
    assert judge(text, "34", Reward(strict_box=True)) == Score(score=float(right), answer=answer)


def test_gold_answers_are_normalised_too() -> None:
    assert normalise("$1{,}234$ dollars") == "1234"
    assert judge("Answer: 1234", "1,234").score == 1


def test_long_and_hostile_completions_are_quick() -> None:
    for text in ("Answer:" * 200_000, "Answer: " + "\\boxed{" * 100_000, "Answer: " + "$" * 200_000):
        judge(text, "1", Reward(window=10_000))

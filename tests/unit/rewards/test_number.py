from __future__ import annotations

import pytest

from dapo.rewards.number import Reward
from dapo.types import Completion, Example, Score


def judge(text: str, gold: str, reward: Reward | None = None) -> Score:
    completion = Completion([], [], [], [], "eos", text)
    return (reward or Reward())(completion, Example("row-7", [], gold))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 18", "18"),
        ("answer : $18.00.", "18"),
        ("**Answer:** 18", "18"),
        ("**Answer**: 18", "18"),
        ("Answer:\n18", "18"),
        ("Answer: 18 (since 9+9=18, not 20)", "18"),
        ("Answer: 17\nAnswer: 18", "18"),
        ("Answer: 18 (there are 2 or 3 ways)", "18"),
        ("Answer: 18 or 18.0", "18"),
        ("3 + 4 = 7\n#### 18", "18"),
        ("so \\boxed{18} of the 40", "18"),
        ("Answer: \\boxed{18}, from 20", "18"),
        ("\\boxed{17}\nAnswer: 18", "18"),
        ("She has 3 and gets 15, which makes 18.", "18"),
        ("20-2=18", "18"),
        ("1,080", "1080"),
        ("1{,}080", "1080"),
        ("1\\,080 dollars", "1080"),
        ("109,200,000", "109200000"),
        ("she pays 1,080, then leaves", "1080"),
        ("Answer: $-5", "-5"),
        ("Answer: -$5", "-5"),
        ("Answer: \N{MINUS SIGN}5", "-5"),
        ("Answer: \\$5", "5"),
        ("10 - 5", "5"),
        ("10-5", "5"),
        ("(10)-5", "5"),
        ("12%", "12"),
        ("0.2", "1/5"),
        (".5", "1/2"),
        ("Answer: 1/2", "1/2"),
        ("Answer: -\\frac{3}{4}", "-3/4"),
        ("Answer: \\dfrac{3}{4}", "3/4"),
        ("Answer: 1.50", "3/2"),
    ],
)
def test_the_number_found(text: str, answer: str) -> None:
    assert judge(text, answer) == Score(score=1.0, answer=answer)


@pytest.mark.parametrize("text", ["", "no number", "Answer: none", "Answer: 5/0", "\\boxed{}", "- . , /"])
def test_no_number_found(text: str) -> None:
    assert judge(text, "5") == Score(score=0.0, answer=None)


@pytest.mark.parametrize(
    "text", ["Answer: 5 or 6", "**Answer:** $5$ or $6$", "\\boxed{5 \\text{ or } 6}", "Answer: 5, or 6 or 7"]
)
def test_a_choice_of_numbers_is_no_number(text: str) -> None:
    assert judge(text, "5") == Score(score=0.0, answer=None)


@pytest.mark.parametrize(
    ("text", "gold"),
    [("Answer: 3/4", "3"), ("Answer: \\frac{1}{2}", "1"), ("Answer: 5", "-5"), ("Answer: 18.01", "18")],
)
def test_another_number_is_wrong(text: str, gold: str) -> None:
    assert judge(text, gold).score == 0


@pytest.mark.parametrize("gold", ["1,080", "$1080", "1080.0", "1080."])
def test_gold_answers_are_read_in_the_same_way(gold: str) -> None:
    assert judge("Answer: 1080", gold).score == 1


def test_a_marker_can_be_required() -> None:
    strict = Reward(require_marker=True)
    assert judge("it is 18", "18", strict) == Score(score=0.0)
    assert judge("#### 18", "18", strict).score == 1


def test_a_gold_answer_without_a_number_names_the_example_and_the_fix() -> None:
    with pytest.raises(ValueError, match="'blue' of example row-7 is not a number; use the reward `exact`"):
        judge("Answer: 5", "blue")


def test_commas_separate_thousands_only_where_all_of_them_do() -> None:
    for text in ("Answer: 1,2345", "Answer: 1,234,5", "Answer: 1, 234"):
        assert judge(text, "1").answer == "1", text


def test_exponents_are_not_read() -> None:
    assert judge("Answer: 1e999999999", "1").answer == "1"


def test_only_the_end_is_read_and_hostile_text_is_quick() -> None:
    assert judge("Answer: 18" + 3000 * " ", "18").score == 0
    for piece in ("9", "9,", "answer", "*", "\\boxed{", "\\frac{", "-$", "answer" + 100 * "*"):
        judge(piece * 100_000, "1", Reward(window=4000))
    with pytest.raises(ValueError, match="window must lie between 1 and 4000"):
        Reward(window=4001)

from __future__ import annotations

import pytest

from dapo.verify.extract import (
    after_thinking,
    find_answer,
    find_boxed,
    find_marked,
    find_value,
    find_whole,
    gold_answer,
    last_boxed,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so $\\boxed{\\frac{1}{2}}$ and }", "\\frac{1}{2}"),
        ("\\boxed{3}, no: \\boxed{4}", "4"),
        ("\\fbox{3} then \\boxed {4}", "4"),
        ("\\boxed{a_{b_{c}}}", "a_{b_{c}}"),
        ("\\boxed{3} and \\boxed{4}", "3, 4"),
        ("$\\boxed{3}$ \\text{ or } $\\boxed{4}$", "3, 4"),
        ("\\boxed{3}, \\boxed{3}", "3"),
        ("\\boxed{3} \\boxed{4}", "4"),
        ("\\boxed{3} and then \\boxed{4}", "4"),
        ("$\\boxed{28}$\\%", "28$\\%"),
        ("\\boxed{4", None),
        ("\\boxed{3} \\boxed{4", None),
        ("boxed{3}", None),
        ("", None),
    ],
)
def test_boxes(text: str, found: str | None) -> None:
    assert find_boxed(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: 5", "5"),
        ("answer:\n\n  5\nmore", "5"),
        ("**Answer:** 5", "5"),
        ("**Answer**: $5$", "$5$"),
        ("Answer: 4\nAnswer: 5", "5"),
        ("The final answer is $5$. I hope it is correct.", "$5$"),
        ("Final Answer: The final answer is 12,000.5. I hope it is correct.", "12,000.5"),
        ("So the answer to the question is: 5.", "5"),
        ("The answers are 3 and 5", "3 and 5"),
        ("#### 5", "5"),
        ("<answer> 5 </answer> or so", "5"),
        ("Answer: the number of ways in total is 5.", "5"),
        ("Answer: 5 because two and three make five", "5"),
        ("Answer: she needs 5 more of those apples", "5"),
        ("Answer: \\[\n x^2 \n\\]\nDone.", "\\[\n x^2 \n\\]"),
        ("答案是5。", "5"),
        ("Answer:", None),
        ("Nothing is said here", None),
    ],
)
def test_markers(text: str, found: str | None) -> None:
    assert find_marked(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("odd $n$", "odd $n$"),
        ("Result: 5", "5"),
        ("We think that it may be 5", None),
        ("3 or 5?", None),
        ("3\n5", None),
        ("6" * 301, None),
        ("", None),
    ],
)
def test_whole_texts(text: str, found: str | None) -> None:
    assert find_whole(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("From $x = 3$ we get $y = 5$ at last.", "$y = 5$"),
        ("There are 5 such numbers $n$.", "5"),
        ("For $n = 4$ there are 5 of them.", "5"),
        ("It follows that $1$ and $5$ solve it", "$1$, $5$"),
        ("10 - 5", "5"),
        ("It is -5 degrees", "-5"),
        ("that makes 1,250.5 in total", "1,250.5"),
        ("a chance of 2/3.", "2/3"),
        ("a share of 25%.", "25%"),
        ("所以一共有13只鸟", "13"),
        ("code AZ5K2A", None),
        ("It is 3 or 5", None),
        ("nothing", None),
    ],
)
def test_last_values(text: str, found: str | None) -> None:
    assert find_value(text) == found


def test_only_what_follows_the_thinking_is_read() -> None:
    assert after_thinking("<think>\\boxed{3}</think> \\boxed{5}<|im_end|>") == " \\boxed{5}"
    assert find_answer("<think>\\boxed{3}</think> I do not know that", ["boxed", "value"]) is None
    assert find_answer("\\boxed{3}", ["boxed"]) == "3"


def test_finders_are_asked_in_order() -> None:
    text = "\\boxed{3}\nAnswer: 5"
    assert [find_answer(text, names) for names in (["boxed", "marked"], ["marked", "boxed"])] == ["3", "5"]
    assert find_answer("Answer: 5", ["boxed"]) is None


def test_gold_answers_may_be_worked_solutions() -> None:
    assert gold_answer("2 + 3 = <<2+3=5>>5\n#### 5") == "5"
    assert gold_answer("Hence \\boxed{5}.") == "5"
    assert gold_answer("(2, 3)") == "(2, 3)"


def test_last_boxed_closes_its_own_brace() -> None:
    assert last_boxed("\\boxed{\\frac{1}{2}} and }") == "\\frac{1}{2}"
    assert last_boxed("\\boxed{1} \\boxed{2") is None
    assert last_boxed("1") is None

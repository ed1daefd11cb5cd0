from __future__ import annotations

from typing import Any

import pytest

from dapo.rewards.knowledge import Reward
from dapo.types import Completion, Example, Score


def judge(text: str, gold: str, reward: Reward | None = None, **columns: Any) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold, columns))


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("The Eiffel Tower.", "eiffel tower", True),
        # Distance 1 of 12, 2 of 4 (not below a half), 2 of 5.
        ("Eifel Tower", "Eiffel Tower", True),
        ("Rome", "Romulus", False),
        ("ROMO", "Rima", False),
        ("Parma", "Paris", True),
        ("Lyon", "Paris", False),
        ("1,200", "1200.0", True),
        ("50%", "50", True),
        ("1915", "1914", False),
        ("-5", "5", False),
        ("3.5", "35", False),
        ("in 1914", "1914", False),
        ("in 1915", "in 1914", False),
        ("-5 m", "5 m", False),
        ("3.5 m", "35 m", False),
        ("1,200.0 m", "1200 m", True),
        ("1914-1918", "1914\u20131918", True),
        ("Covid-19", "Covid 19", True),
        ("vitamin B6", "vitamin B12", False),
        # Yuan3.0 leaves these words out, or reads them as numbers.
        ("each", "white", False),
        ("only 5 m", "5 m", False),
        ("V", "5", False),
        ("X", "10", False),
        ("five million", "5000000", False),
        ("", "", False),
        ("?", "", False),
        ("北京市", "北京市。", True),
    ],
)
def test_answers_of_facts(text: str, gold: str, right: bool) -> None:
    assert judge(text, gold).score == float(right)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Rome</think>Paris", "Paris"),
        ("It is Rome. Answer: Paris\nSure.", "Paris"),
        ("Answer: \\boxed{Paris}", "Paris"),
        ("Answer:\nParis", "Answer:\nParis"),
        ("<think>Paris", None),
        ("x" * 1001, None),
    ],
)
def test_where_the_answer_stands(text: str, answer: str | None) -> None:
    assert judge(text, "Paris").answer == answer


def test_settings() -> None:
    assert judge("Parma", "Paris", Reward(max_distance=0.4)).score == 0
    assert judge("the Paris", "Paris", Reward(max_distance=0)).score == 1
    assert judge("Paris", "", answers=["Rome", "Paris"]).score == 1
    with pytest.raises(ValueError, match="max_distance"):
        Reward(max_distance=2)

from __future__ import annotations

from typing import Any

import pytest

from dapo.rewards.table_set import Reward
from dapo.types import Completion, Example, Score


def judge(text: str, gold: str, reward: Reward | None = None, **columns: Any) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold, columns))


@pytest.mark.parametrize("gold", ['{"answer": ["Bern", "Thun"]}', '["Thun", "Bern"]'])
@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"answer": ["Bern", "Thun"]}', 1),
        ('So:\n```json\n{"answer": ["thun", " Bern ", "Bern"]}\n```', 1),
        ('{"answer": ["Bern"]}', 0),
        ('{"answer": ["Bern", "Thun", "Biel"]}', 0),
        ('{"answer": []}', 0),
        ('{"answer": [["Bern", "Thun"]]}', 0),
        ('{"answer": {"Bern": "Thun"}}', 0),
    ],
)
def test_sets_are_equal_or_not(gold: str, text: str, score: int) -> None:
    found = judge(text, gold)
    assert found.score == score and found.answer is not None and found.reward is None


@pytest.mark.parametrize("gold", ['{"answer": [1200]}', "1,200", '["1200.0"]', '{"answer": "1200"}'])
@pytest.mark.parametrize("text", ['{"answer": [1200]}', '{"answer": "1,200"}', '{"answer": 1200.0}'])
def test_numbers_are_equal_as_numbers(gold: str, text: str) -> None:
    assert judge(text, gold).score == 1
    assert judge(text.replace("200", "201"), gold).score == 0


def test_golds_from_a_column() -> None:
    assert judge('{"answer": ["b", "a"]}', "", answers=["a", "b"]).score == 1
    assert judge('{"cells": ["b"]}', "", Reward(key="cells", golds="cells"), cells=["b"]).score == 1


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ('{"answer": ["Bern"]}', 1.0),
        ('{"answer": ["Thun"]}', 0.0),
        ('{"answers": ["Bern"]}', -1.0),
        ("Bern", -1.0),
        ('{"answer": ["Bern"', -1.0),
        ('["Bern"]', -1.0),
        ("<think>", -1.0),
    ],
)
def test_the_reward_of_yuan(text: str, reward: float) -> None:
    found = judge(text, "Bern", Reward(yuan_reward=True))
    assert (found.score, found.reward) == (float(reward == 1), reward)
    assert (found.answer is None) is (reward == -1)
    assert judge(text, "Bern").reward is None

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dapo.rewards.qa_f1 import Reward
from dapo.types import Completion, Example, Score

SHARED = os.environ.get("DAPO_SHARED")


def judge(text: str, *golds: str | None, reward: Reward | None = None, **columns: Any) -> Score:
    example = Example("x", [], "", {"answers": list(golds), **columns})
    return (reward or Reward())(Completion([], [], [], [], "eos", text), example)


@pytest.mark.parametrize(
    ("text", "golds", "f1"),
    [
        ("Denver Broncos", ["The Denver Broncos", "Broncos"], 1.0),
        # The second gold: 2 * 1 / (3 + 1)
        ("Denver Broncos, 2016", ["Carolina Panthers", "Broncos"], 0.5),
        ("Seattle", ["Denver Broncos"], 0.0),
        ("<think>Seattle</think> Denver Broncos.", ["Denver Broncos"], 1.0),
        # 2 of the 3 characters: 2 * 2 / (3 + 2)
        ("北京市", ["北京"], 0.8),
    ],
)
def test_the_best_f1_over_the_golds(text: str, golds: list[str], f1: float) -> None:
    assert judge(text, *golds).score == pytest.approx(f1)
    assert judge(text, *golds).reward is None


def test_the_golds_may_stand_in_the_answer_or_in_a_column() -> None:
    completion = Completion([], [], [], [], "eos", "two")
    assert Reward()(completion, Example("x", [], "two")).score == 1
    assert Reward()(completion, Example("x", [], '["one", "two"]')).score == 1
    assert Reward(golds="names")(completion, Example("x", [], "one", {"names": ["two"]})).score == 1


def test_a_threshold_and_an_exact_match() -> None:
    # F1 is 2 * 1 / (2 + 1) = 0.667.
    scores = [
        judge("Denver Broncos", "Broncos", reward=reward).score
        for reward in (
            Reward(rule="threshold"),
            Reward(rule="threshold", threshold=0.7),
            Reward(rule="exact"),
        )
    ]
    assert scores == [1.0, 0.0, 0.0]
    assert judge("the broncos!", "Broncos", reward=Reward(rule="exact")) == Score(1.0, answer="the broncos!")


@pytest.mark.parametrize(
    ("source", "text", "score", "reward"),
    [
        # F1 = 2 * 1 / (3 + 1) = 0.5
        ("coqa", "one of four", 0.5, 0.0),
        ("tcqa", "one of four", 0.5, 0.0),
        ("cfqa", "one of four", 0.0, -1.0),
        ("inscit", "four", 1.0, 1.0),
        # F1 = 2 * 1 / (19 + 1) = 0.1, and 2 * 1 / (20 + 1) below it
        ("quac", "four " + "x " * 18, 0.1, -0.8),
        ("quac", "four " + "x " * 19, 0.0, -1.0),
        ("quac", "", 0.0, -1.0),
    ],
)
def test_yuans_least_f1_by_data_source(source: str, text: str, score: float, reward: float) -> None:
    found = judge(text, "four", reward=Reward(rule="chatqa"), data_source=source)
    assert (found.score, found.reward) == (pytest.approx(score), pytest.approx(reward))


def test_a_data_source_without_a_least_f1_is_named() -> None:
    with pytest.raises(ValueError, match=r"knows no data_source 'coqua'; the nearest is 'coqa'"):
        judge("x", "x", reward=Reward(rule="chatqa"), data_source="coqua")
    mine = Reward(rule="chatqa", least_f1={"mine": 0.5})
    with pytest.raises(ValueError, match="it knows mine"):
        judge("x", "x", reward=mine, data_source="coqa")
    assert judge("x", "x", reward=mine, data_source="mine").score == 1


@pytest.mark.parametrize(
    ("text", "gold", "score", "reward"),
    [
        ("B", "B", 1.0, 1.0),
        ("(b).", "B", 1.0, 1.0),
        # Exact, although the F1 is 2 * 1 / (2 + 1).
        ("B Paris", "B", 0.0, -1.0),
        ("A", "A", 1.0, 1.0),
        # F1 = 0.8 is not above 0.8: 2 * 2 / (3 + 2)
        ("one two three", "one two", 0.5, 0.0),
        # 2 * 3 / (4 + 3) = 0.857
        ("one two three four", "one two three", 1.0, 1.0),
        # 2 * 1 / (3 + 1) = 0.5 is not below 0.5
        ("one two three", "one", 0.5, 0.0),
        # 2 * 1 / (4 + 1) = 0.4
        ("one two three four", "one", 0.0, -1.0),
    ],
)
def test_yuans_rule_for_mrag(text: str, gold: str, score: float, reward: float) -> None:
    found = judge(text, gold, reward=Reward(rule="mrag"))
    assert (found.score, found.reward) == (score, reward)


def test_questions_without_an_answer() -> None:
    assert judge("Unanswerable.").score == 1
    assert judge("No answer", "").score == 1
    assert judge("unanswerable", None, "Paris").score == 1
    assert judge("Paris", None, "Paris").score == 1
    assert judge("Paris", "").score == 0
    assert judge("unanswerable", "Paris").score == 0
    assert judge("无法回答", "", reward=Reward(no_answer=("无法回答",))).score == 1


@pytest.mark.parametrize("text", ["", " \n", "<think>still thinking", "</think>"])
@pytest.mark.parametrize("gold", ["", "the", "Paris"])
def test_saying_nothing_is_never_right(text: str, gold: str) -> None:
    assert judge(text, gold) == Score(0.0)


def test_the_line_after_a_marker() -> None:
    marked = Reward(marker="Answer:")
    text = "A long explanation.\nAnswer: Paris\nMore words."
    assert judge(text, "Paris", reward=marked) == Score(1.0, answer="Paris")
    assert judge("Paris", "Paris", reward=marked) == Score(0.0)
    assert judge(text, "Paris").score < 0.5


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="threshold must lie in"):
        Reward(threshold=0.0)
    with pytest.raises(ValueError, match="that of 'mine' is 2"):
        Reward(least_f1={"mine": 2})


@pytest.mark.parametrize("text", ["\0", "\ud800 x", "x " * 50_000, "京" * 100_000, "." * 100_000])
def test_strange_texts(text: str) -> None:
    assert judge(text, "Paris").score == 0


@pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED is not set")
def test_real_golds_are_right_and_other_answers_of_the_passage_are_not() -> None:
    text = Path(SHARED or "", "data", "xquad_en_qa.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 1190
    others: dict[int, list[str]] = {}
    for row in rows:
        others.setdefault(row["ctx_id"], []).append(row["answers"][0])
    distractors = []
    for row in rows:
        gold = row["answers"][0]
        assert judge(gold, *row["answers"]).score == 1, row
        distractors += [judge(other, gold).score for other in others[row["ctx_id"]] if other != gold]
    assert len(distractors) > 4000
    assert sum(distractors) / len(distractors) < 0.03
    assert sum(score >= 0.5 for score in distractors) / len(distractors) < 0.03

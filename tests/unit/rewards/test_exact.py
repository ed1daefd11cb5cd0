from __future__ import annotations

import pytest

from dapo.rewards import by_source, exact
from dapo.types import Completion, Example, Score


def completion(text: str) -> Completion:
    return Completion([], [], [], [], "eos", text)


@pytest.mark.parametrize(
    ("text", "score", "answer"),
    [
        ("Answer: New  York ", 1.0, "New York"),
        ("Answer: Boston\nAnswer: New York\nbye", 1.0, "New York"),
        ("Answer: new york", 0.0, "new york"),
        ("New York", 0.0, None),
        ("Answer:   \nNew York", 0.0, None),
        ("", 0.0, None),
    ],
)
def test_the_line_after_the_last_marker(text: str, score: float, answer: str | None) -> None:
    assert exact.Reward()(completion(text), Example("x", [], "New\nYork ")) == Score(score, answer=answer)


def test_another_marker_and_none() -> None:
    gold = Example("x", [], "7")
    assert exact.Reward(marker="=>")(completion("so => 7"), gold).score == 1
    assert exact.Reward(marker="")(completion(" 7\n"), gold).score == 1
    assert exact.Reward(marker="")(completion("it is 7"), gold).score == 0


@pytest.mark.parametrize(
    ("source", "text", "score"),
    [
        ("math_dapo", "Answer: $5$", 1.0),
        ("DAPO-17k", "Answer: $5$", 1.0),
        ("aime2024", "Answer: $5$", 1.0),
        ("openai/gsm8k", "so it is 5.0", 1.0),
        ("something else", "Answer: $5$", 0.0),
        ("something else", "Answer: 5", 1.0),
    ],
)
def test_rows_are_graded_by_their_source(source: str, text: str, score: float) -> None:
    example = Example("x", [], "5", {"data_source": source})
    assert by_source.Reward()(completion(text), example).score == score


def test_rows_without_a_source_must_match_exactly() -> None:
    assert by_source.Reward()(completion("Answer: $5$"), Example("x", [], "5")).score == 0


def test_names_are_file_names() -> None:
    assert [module.Reward.name for module in (exact, by_source)] == ["exact", "by_source"]

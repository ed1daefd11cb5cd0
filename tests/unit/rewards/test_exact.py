from __future__ import annotations

import pytest

from dapo.rewards import exact
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

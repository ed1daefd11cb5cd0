from __future__ import annotations

from typing import Any

import pytest

from dapo.rewards.format import Reward
from dapo.types import Completion, Example, FinishReason

THOUGHT = "<think>\nfirst, 2\n</think>\n4"


def score(text: str, finish: FinishReason = "eos", **settings: Any) -> float:
    return Reward(**settings)(Completion([], [], [], [], finish, text), Example("x", [], "4")).score


@pytest.mark.parametrize(
    ("text", "required", "forbidden", "optional"),
    [
        (THOUGHT, 1, 0, 1),
        ("first, 2</think>4", 0, 1, 1),
        ("  \n<think>a</think>b", 1, 0, 1),
        ("so <think>a</think>b", 0, 0, 0),
        ("<think>a</think>b</think>c", 0, 0, 0),
        ("<think>a<think>b</think>c", 0, 0, 0),
        ("<think>a</think>b<think>", 0, 0, 0),
        ("<think>a", 0, 0, 0),
        ("a", 0, 0, 0),
        ("", 0, 0, 0),
        ("<think></think>4", 0, 0, 0),
        ("<think>a</think> \n", 0, 0, 0),
        ("< think>a</think>b", 0, 1, 1),
    ],
)
def test_think(text: str, required: int, forbidden: int, optional: int) -> None:
    found = [score(text, opening=opening) for opening in ("required", "forbidden", "optional")]
    assert found == [required, forbidden, optional]


def test_the_end_token_is_not_mistaken_for_its_letters() -> None:
    """Yuan's expression `<|end_of_sentence|>` was an alternation: any `<` passed for the end."""
    assert score(THOUGHT) == 1
    assert score(THOUGHT, "length") == 0 and score(THOUGHT, "repetition") == 0 and score(THOUGHT, "stop") == 1
    assert score(THOUGHT, "length", ended=False) == 1


def test_forbidden_texts_are_read_as_they_stand() -> None:
    assert score(THOUGHT + "<|Assistant|>", forbidden=("<|Assistant|>",)) == 0
    assert score(THOUGHT + " Assistant", forbidden=("<|Assistant|>",)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a</think>\n<answer>4</answer>\n", 1),
        ("<think>a</think><answer> </answer>", 0),
        ("<think>a</think>so <answer>4</answer>", 0),
        ("<think>a</think><answer>4</answer>.", 0),
        ("<think>a</think><answer>4</answer><answer>4</answer>", 0),
        ("<think>a</think><answer>4", 0),
        ("<think>a</think></answer>4<answer>", 0),
        ("<think><answer>4</answer></think>4", 0),
        ("<answer>4</answer>", 0),
    ],
)
def test_think_answer(text: str, expected: int) -> None:
    assert score(text, pattern="think_answer", opening="required") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so \\boxed{4}.", 1),
        ("\\boxed{\\frac{1}{2}}", 1),
        ("\\boxed{4", 0),
        ("\\boxed{ }", 0),
        ("4", 0),
        ("\\boxed{4}</think>it is 4", 0),
        ("</think>\\boxed{4}", 1),
    ],
)
def test_boxed(text: str, expected: int) -> None:
    assert score(text, pattern="boxed") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so\nAnswer: 4", 1),
        ("so\n  Answer: 4  \n\n", 1),
        ("Answer: 4\nbye", 0),
        ("Answer: 3\nAnswer: 4", 0),
        ("so\nAnswer:", 0),
        ("the Answer: 4", 0),
        ("answer: 4", 0),
        ("", 0),
    ],
)
def test_answer_line(text: str, expected: int) -> None:
    assert score(text, pattern="answer_line") == expected


def test_own_expression() -> None:
    assert score("a\n# Result\n4", pattern="regex", regex=r"# Result.\d+$") == 1
    assert score("a", pattern="regex", regex=r"\d") == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "regex"}, "give the expression together with pattern: regex"),
        ({"regex": "a"}, "give the expression together with pattern: regex"),
        ({"pattern": "regex", "regex": "(a"}, "is no regular expression"),
        ({"marker": " "}, "marker must not be blank"),
        ({"forbidden": ("",)}, "must not hold an empty text"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reward(**settings)

from __future__ import annotations

import math

import pytest

from dapo.rewards.tool_calls import Reward
from dapo.types import Completion, Example, Score

TWO = "[f(a=1), g(b='x')]"


def judge(text: str, gold: str = TWO, reward: Reward | None = None) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (TWO, 1.0),
        ("[g(b='x'), f(a=1.0)]", 1.0),
        ("<think>[f(a=2)]</think><tool_call>" + '{"name": "f", "arguments": {"a": 1}}</tool_call>', 0.5),
        # One equal, one with the right name: (1 + 0.7) / 2
        ("[f(a=1), g(b='y')]", 0.85),
        # One equal, one of another name: (1 + 0.2) / 2
        ("[f(a=1), h(b='x')]", 0.6),
        ("[h(), h()]", 0.2),
        # One call is missing: 1 / 2
        ("[f(a=1)]", 0.5),
        # The same gold is not matched twice: (1 + 0.2) / 2
        ("[f(a=1), f(a=1)]", 0.6),
        # Both right, and a third: 2 / 2 * exp(1 - 3 / 2)
        ("[f(a=1), g(b='x'), h()]", math.exp(-0.5)),
        # Positional arguments count, and True is not 1.
        ("[f(1), g(b='x')]", 0.85),
        ("[f(1, a=1), g(b='x')]", 0.85),
        ("[f(a=True), g(b='x')]", 0.85),
        ("[f(a=1, c=2), g(b='x')]", 0.85),
        ("[f(a=1), g(b='x'", 0.0),
        ("no tool", 0.0),
        ("", 0.0),
    ],
)
def test_calls_are_paired_one_to_one(text: str, score: float) -> None:
    found = judge(text)
    assert found.score == pytest.approx(score) and found.reward is None
    assert judge(text, reward=Reward(strict=True)).score == float(score == 1)


def test_positional_golds() -> None:
    assert judge("f(1, 2)", "f(1, 2)").score == 1
    assert judge("f(2, 1)", "f(1, 2)").score == pytest.approx(0.7)
    assert judge("f()", "f(1)").score == pytest.approx(0.7)


@pytest.mark.parametrize("gold", ["[]", "None", "", "null"])
@pytest.mark.parametrize(
    ("text", "score"), [("No tool helps.", 1), ("[]", 1), ("[f(a=1)]", 0), ("[f(a=", 0), ("<tool_call>x", 0)]
)
def test_where_no_call_is_wanted(gold: str, text: str, score: int) -> None:
    assert judge(text, gold).score == score


@pytest.mark.parametrize(
    ("text", "gold", "score", "reward"),
    [
        (TWO, TWO, 1.0, 1.0),
        ("no tool", TWO, 0.0, -1.0),
        ("[f(a=", TWO, 0.0, -1.0),
        (TWO, "[]", 0.0, -1.0),
        ("no tool", "[]", 1.0, 1.0),
        ("[f(a=2)]", "[f(a=1)]", 0.7, 0.7),
    ],
)
def test_the_reward_of_yuan(text: str, gold: str, score: float, reward: float) -> None:
    found = judge(text, gold, Reward(yuan_reward=True))
    assert (found.score, found.reward) == (pytest.approx(score), pytest.approx(reward))


def test_each_call_for_itself_as_yuan_pairs_them() -> None:
    each = Reward(one_to_one=False)
    assert judge("[f(a=1), f(a=1)]", reward=each).score == 1
    assert judge("[f(a=1)]", reward=each).score == 1
    # (1 + 0.7) / 2 * exp(1 - 2)
    assert judge("[f(a=1), f(a=2)]", "f(a=1)", each).score == pytest.approx(0.85 * math.exp(-1))


def test_the_answer_names_the_tools() -> None:
    assert judge(TWO).answer == "f, g"
    assert judge("[f(a=").answer is None
    assert judge("none").answer == ""


def test_settings_and_golds_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="0 <= neither <= name_only <= 1"):
        Reward(name_only=0.1)
    for gold in ("call f", "[f(a=x)]", '{"answer": 1}'):
        with pytest.raises(ValueError, match="holds no tool calls"):
            judge(TWO, gold)

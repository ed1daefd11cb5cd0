from __future__ import annotations

from typing import Any

import pytest
import torch

from dapo.grading.adapt import as_reward
from dapo.grading.composition import Shaping, composed
from dapo.grading.grader import Grader
from dapo.rewards import length, repetition, shortest
from dapo.types import Completion, Example

EXAMPLE = Example("x", [], "4", {"expect_len": 50, "info": {"limit": "20"}})


def of(tokens: int, text: str = "") -> Completion:
    return Completion(list(range(tokens)), [], [], [], "eos", text)


# --- repetition


def repeats(ids: list[int], **settings: Any) -> float:
    return repetition.Reward(**settings)(Completion(ids, [], [], [], "eos", ""), EXAMPLE).score


def test_a_loop_is_seen_in_token_ids() -> None:
    """Period 3, 150 tokens: 131 20-grams, 3 distinct. Yuan's counter, on tensors, saw 131."""
    looped = [1, 2, 3] * 50
    assert repetition.repeated_share(looped, 20) == pytest.approx(1 - 3 / 131)
    assert repetition.repeated_share(torch.tensor(looped), 20) == pytest.approx(1 - 3 / 131)
    assert repeats(looped) == 0 and repeats(list(range(150))) == 1


@pytest.mark.parametrize(
    ("ids", "share"),
    [
        ([1, 2, 1, 2, 3], 1 / 4),  # (1,2) (2,1) (1,2) (2,3): 3 of 4 distinct
        ([1, 1, 1], 1 / 2),
        ([1, 2], 0.0),
        ([1], 0.0),
        ([], 0.0),
        ([2**40, -5, 2**40, -5], 1 / 3),
    ],
)
def test_the_share_of_repeated_bigrams(ids: list[int], share: float) -> None:
    assert repetition.repeated_share(ids, 2) == pytest.approx(share)


def test_the_threshold_itself_is_bad_and_grades_fall_towards_it() -> None:
    """[1, 2, 1, 2, 3] repeats a quarter of its bigrams."""
    ids = [1, 2, 1, 2, 3]
    assert repeats(ids, ngram=2, threshold=0.25) == 0 and repeats(ids, ngram=2, threshold=0.26) == 1
    assert repeats(ids, ngram=2, threshold=0.5, graded=True) == pytest.approx(0.5)
    assert repeats(ids, ngram=2, threshold=1, graded=True) == pytest.approx(0.75)
    assert repeats(ids, ngram=2, threshold=0.1, graded=True) == 0


def test_words_are_compared_in_lower_case_and_chinese_by_character() -> None:
    def score(text: str) -> float:
        return repetition.Reward(unit="words", ngram=2, threshold=1, graded=True)(of(0, text), EXAMPLE).score

    assert score("The cat 1\nthe CAT 2") == pytest.approx(4 / 5)  # (the cat) twice among five
    assert score("一二一二") == pytest.approx(2 / 3)
    assert score("") == 1


@pytest.mark.parametrize("settings", [{"ngram": 0}, {"threshold": 0}, {"threshold": 1.1}])
def test_impossible_repetition(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Yuan3\.0 Flash has"):
        repetition.Reward(**settings)


# --- length


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"shape": "limit"}, [1, 1, 1, 1, 0]),
        ({"shape": "linear"}, [1, 0.75, 0.5, 0, 0]),
        ({"shape": "linear", "free_tokens": 50}, [1, 1, 1, 0, 0]),
        ({"shape": "linear", "free_tokens": 20}, [1, 0.9375, 0.625, 0, 0]),  # 1 - 5/80, 1 - 30/80
        # (1 + cos(pi t)) / 2 at t = 0, 1/4, 1/2, 1: cos(pi / 4) is the root of a half.
        ({"shape": "cosine"}, [1, (1 + 0.5**0.5) / 2, 0.5, 0, 0]),
        ({"shape": "linear", "prefer": "long"}, [0, 0.25, 0.5, 1, 1]),
    ],
)
def test_the_score_at_0_25_50_100_and_200_tokens(settings: dict[str, Any], expected: list[float]) -> None:
    reward = length.Reward(max_tokens=100, **settings)
    found = [reward(of(tokens), EXAMPLE).score for tokens in (0, 25, 50, 100, 200)]
    assert found == pytest.approx(expected)


def test_a_row_may_have_a_limit_of_its_own() -> None:
    def score(tokens: int, column: str | None, **settings: Any) -> float:
        return length.Reward(100, shape="linear", column=column, **settings)(of(tokens), EXAMPLE).score

    assert score(25, "expect_len") == 0.5 and score(10, "info.limit") == 0.5 and score(50, "missing") == 0.5
    # Half the limit leaves half as much free: 10 of 50, and 30 lies halfway.
    assert score(30, "expect_len", free_tokens=20) == 0.5
    bad = Example("row-3", [], "4", {"expect_len": 0})
    with pytest.raises(ValueError, match="'expect_len' of example row-3 holds 0, which is no length"):
        length.Reward(100, column="expect_len")(of(3), bad)


def test_the_cosine_reward_of_the_paper_is_two_entries() -> None:
    """Yeo et al.: right answers from 2 at no token to 1 at the limit, wrong ones from -10 to 0."""
    cosine = {"max_tokens": 100, "shape": "cosine"}
    terms = [
        Shaping(reward=as_reward(length.Reward(**cosine)), name="right", weight=1, gate="correct", offset=0),
        Shaping(
            reward=as_reward(length.Reward(**cosine, prefer="long")), name="wrong", weight=10, gate="wrong"
        ),
    ]

    def verdict(completion: Completion, example: Example) -> bool:
        return completion.text == "right"

    given = [of(tokens, text) for text in ("right", "wrong") for tokens in (0, 50, 100)]
    scores = Grader(composed(as_reward(verdict), terms)).grade(given, EXAMPLE)
    rewards = [score.score + sum(score.parts.values()) for score in scores]
    assert rewards == pytest.approx([2, 1.5, 1, -10, -5, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, r"free_tokens \(0\) must lie between 0 and max_tokens \(0\)"),
        ({"max_tokens": 5, "free_tokens": 5}, "must lie between"),
        ({"max_tokens": 5, "free_tokens": 2, "shape": "limit"}, "shape: limit has no slope"),
    ],
)
def test_impossible_length(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        length.Reward(**settings)


# --- shortest


def test_the_shortest_of_a_group() -> None:
    group = [of(10), of(20), of(30), of(30)]
    assert [score.score for score in shortest.Reward()(group, EXAMPLE)] == [1, 0.5, 0, 0]
    assert [score.score for score in shortest.Reward(ceiling=0.5)(group, EXAMPLE)] == [0.5, 0.5, 0, 0]
    assert [score.score for score in shortest.Reward()([of(7), of(7)], EXAMPLE)] == [1, 1]
    assert [score.score for score in shortest.Reward(tie=0.5)([of(7)], EXAMPLE)] == [0.5]


def test_kimis_length_reward_is_two_entries() -> None:
    """lambda = 0.5 - (length - 10) / 20 gives 0.5, 0, -0.5; wrong answers get min(0, lambda)."""

    def entry(name: str, gate: Any, **settings: Any) -> Shaping:
        reward = as_reward(shortest.Reward(tie=0.5, **settings))
        return Shaping(reward=reward, name=name, weight=1, gate=gate, offset=0.5, among="group")

    def verdict(completion: Completion, example: Example) -> bool:
        return completion.text == "right"

    kimi = composed(as_reward(verdict), [entry("a", "correct"), entry("b", "wrong", ceiling=0.5)])
    given = [of(10, "right"), of(20, "right"), of(30, "right"), of(10, "wrong"), of(30, "wrong")]
    scores = Grader(kimi).grade(given, EXAMPLE)
    assert [sum(score.parts.values()) for score in scores] == [0.5, 0, -0.5, 0, -0.5]
    same = Grader(kimi).grade([of(7, "right"), of(7, "wrong")], EXAMPLE)
    assert [sum(score.parts.values()) for score in same] == [0, 0]


def test_shortest_settings() -> None:
    with pytest.raises(ValueError, match=r"ceiling must lie in \[0, 1\], not 2"):
        shortest.Reward(ceiling=2)

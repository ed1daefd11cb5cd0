from __future__ import annotations

import sys
import time
from typing import Any

import pytest

pytest.importorskip("rouge_score")
pytest.importorskip("sacrebleu")

from dapo.errors import UserError
from dapo.rewards.summary import Reward
from dapo.types import Completion, Example, Score

ROUGE1 = Reward(weights={"rouge1": 1})


def judge(text: str, gold: str, reward: Reward | None = None, **columns: Any) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold, columns))


def test_the_mean_by_hand() -> None:
    # 5 words against 6, of which 4 are shared: the, cat, on, mat. Of 4 and 5 pairs only "the cat" is shared.
    # Longest common subsequence: the cat on mat.
    text, gold = "the cat lay on mat", "the cat sat on the mat"
    rouge1, rouge2, rouge_l = 2 * 4 / (5 + 6), 2 * 1 / (4 + 5), 2 * 4 / (5 + 6)
    assert judge(text, gold, ROUGE1).score == pytest.approx(rouge1)
    assert judge(text, gold).score == pytest.approx(0.25 * rouge1 + 0.25 * rouge2 + 0.5 * rouge_l)
    half = Reward(weights={"rouge1": 0.5, "rouge2": 0.5})
    assert judge(text, gold, half).score == pytest.approx((rouge1 + rouge2) / 2)


def test_words_are_those_of_rouge_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    text, gold = "It's 3.5 km, well-known in the U.S.", "In the US it is a well known 3.5km"
    plain = RougeScorer(["rouge1"]).score(gold, text)["rouge1"].fmeasure
    assert judge(text, gold, ROUGE1).score == pytest.approx(plain)


def test_other_alphabets_count() -> None:
    # 2 of 3 characters, 2 of 2; rouge-score itself sees no word here.
    assert judge("北京市", "北京", ROUGE1).score == pytest.approx(0.8)
    assert judge("привет мир", "привет", ROUGE1).score == pytest.approx(2 / 3)
    assert judge("cafe", "café", ROUGE1).score == 0


def test_bleu() -> None:
    bleu = Reward(weights={"bleu": 1})
    gold = "the cat sat on the mat"
    assert judge(gold, gold, bleu).score == pytest.approx(1)
    # Every n-gram of the 5 words is in the reference of 6: what is left is the penalty exp(1 - 6 / 5).
    assert judge("the cat sat on the", gold, bleu).score == pytest.approx(2.718281828459045**-0.2)
    assert judge("我们去北京看长城", "我们去北京看长城", bleu).score == pytest.approx(1)
    assert judge("dog", gold, bleu).score < 0.05
    # By characters: 6 of 8, 4 of 7 pairs, 2 of 6 triples; no quadruple of 5, which smoothing makes 1 of 10.
    by_hand = (6 / 8 * 4 / 7 * 2 / 6 * 1 / 10) ** 0.25
    assert judge("我们去北京看长城", "我们去上海看长城", bleu).score == pytest.approx(by_hand)


def test_the_best_reference_and_the_thinking() -> None:
    assert judge("<think>no</think> a cat", "", ROUGE1, answers=["a dog runs", "a cat"]).score == 1
    assert judge("<think>a cat", "a cat") == Score(0.0)
    assert judge("", "a cat") == Score(0.0)


def test_a_threshold_makes_a_verdict() -> None:
    # 2 * 2 / (3 + 2) = 0.8
    for threshold, score in ((0.8, 1), (0.81, 0)):
        reward = Reward(weights={"rouge1": 1}, threshold=threshold)
        assert judge("one two three", "one two", reward).score == score


def test_settings_that_cannot_be() -> None:
    for settings, message in [
        ({"weights": {"rouge3": 1}}, "there is no 'rouge3'; there are rouge1, rouge2"),
        ({"weights": {"rouge1": 0.5}}, "sum to 1"),
        ({"weights": {"rouge1": 2, "bleu": -1}}, "above 0"),
        ({"weights": {}}, "above 0"),
        ({"threshold": 0}, "threshold"),
        ({"window": 0}, "window"),
    ]:
        with pytest.raises(ValueError, match=message):
            Reward(**settings)


@pytest.mark.parametrize(
    ("library", "weights"), [("rouge_score", {"rouge1": 1}), ("sacrebleu", {"rouge1": 0.5, "bleu": 0.5})]
)
def test_a_missing_library_is_named_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, library: str, weights: dict[str, float]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf'needs {library}: pip install "dapo\[summaries\]"'):
        Reward(weights=weights)


@pytest.mark.parametrize("text", ["x " * 50_000, "\0\ud800", "北" * 100_000, "." * 100_000, "_" * 100_000])
def test_strange_texts_take_no_time(text: str) -> None:
    reward = Reward(weights={"rouge1": 0.25, "rouge2": 0.25, "rougeL": 0.25, "bleu": 0.25})
    judge("warm", "up", reward)
    began = time.process_time()
    assert judge(text, "the cat sat on the mat " * 10, reward).score < 0.1
    assert time.process_time() - began < 3

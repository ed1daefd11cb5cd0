from __future__ import annotations

import pytest

from dapo.rewards.json_match import Reward
from dapo.types import Completion, Example, Score

GOLD = '{"name": "Bern", "people": 134000, "rivers": ["Aare", "Gürbe"], "capital": true}'


def judge(text: str, gold: str = GOLD, reward: Reward | None = None) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold))


def test_equal_json_whatever_its_layout() -> None:
    assert judge(GOLD).score == 1
    text = (
        '<think>{}</think>Here:\n```json\n{"capital": true, "rivers": ["Aare", "Gürbe"],\n "name": "Bern", '
    )
    assert judge(text + '"people": 134000.0}\n```\nDone.').score == 1
    assert judge('{"b": 1, "a": 2}', '{"a": 2, "b": 1}') == Score(1.0, answer='{"a": 2, "b": 1}')


@pytest.mark.parametrize(
    "text",
    [
        GOLD.replace("true", "1"),
        GOLD.replace("134000", '"134000"'),
        GOLD.replace('"Aare", "Gürbe"', '"Gürbe", "Aare"'),
        GOLD.replace("134000", "134001"),
        GOLD.replace("}", ', "more": null}'),
        GOLD[:-1],
        GOLD + ' and {"name": "Bern"}',
    ],
)
def test_other_json_is_wrong(text: str) -> None:
    score = judge(text)
    assert score.score == 0 and score.answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        '{"name": "Bern"',
        "<think>" + GOLD,
        GOLD.replace("134000", "NaN"),
        '{"name": 1, "name": 2}',
    ],
)
def test_no_json_is_no_answer(text: str) -> None:
    assert judge(text) == Score(0.0)


def test_settings() -> None:
    assert judge(GOLD.replace("134000", "134001"), reward=Reward(tolerance=1e-4)).score == 1
    assert judge("[2, 1]", "[1, 2]", Reward(ignore_order=True)).score == 1
    # Three of four keys.
    assert judge(GOLD.replace("true", "false"), reward=Reward(partial=True)).score == 0.75
    assert judge(GOLD, reward=Reward(partial=True)).score == 1
    with pytest.raises(ValueError, match="tolerance"):
        Reward(tolerance=-1)


@pytest.mark.parametrize("gold", ["Bern", "42", "{", "NaN", '{"a": NaN}', '{"a": 1, "a": 1}'])
def test_a_gold_that_is_no_json(gold: str) -> None:
    with pytest.raises(ValueError, match="is no JSON object or list"):
        judge(GOLD, gold)

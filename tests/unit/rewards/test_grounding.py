from __future__ import annotations

import time

import pytest

from dapo.rewards.grounding import Reward, intersection_over_union
from dapo.types import Completion, Example, Score

GOLD = "<obj>cat</obj><box>[0, 0, 10, 10]</box>"


def judge(text: str, gold: str = GOLD, reward: Reward | None = None) -> Score:
    return (reward or Reward())(Completion([], [], [], [], "eos", text), Example("x", [], gold))


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        # 50 of 100 + 100 - 50
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (0, 0, 10, 7), 0.7),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ((10, 0, 0, 10), (0, 0, 10, 10), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_intersection_over_union(one: tuple[float, ...], other: tuple[float, ...], iou: float) -> None:
    assert intersection_over_union(one, other) == pytest.approx(iou)  # type: ignore[arg-type]
    assert intersection_over_union(other, one) == pytest.approx(iou)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (GOLD, True),
        ("I see <obj>Cat </obj> <box>[0,0,10.0,8]</box>.", True),
        ("<think>x</think><obj>cat</obj><box>0 0 10 10</box>", True),
        # 70 of 100 is not above 0.7.
        ("<obj>cat</obj><box>[0, 0, 10, 7]</box>", False),
        ("<obj>cats</obj><box>[0, 0, 10, 10]</box>", False),
        ("<obj>cat</obj><box>[10, 10, 0, 0]</box>", False),
        ("<obj>cat</obj><box>[0, 0, 10]</box>", False),
        ("<obj>cat</obj><box>[0, 0, 10, 10, 10]</box>", False),
        ("<obj>cat</obj>", False),
        ("<box>[0, 0, 10, 10]</box>", False),
        (GOLD + GOLD, False),
        (GOLD + "<obj>dog</obj>", False),
        ("<obj>cat</obj><box>[0, 0, 10, 10], [20, 20, 30, 30]</box>", False),
        ("", False),
    ],
)
def test_one_object(text: str, right: bool) -> None:
    assert judge(text).score == float(right)


TWO = "<obj>cat</obj><box>[0, 0, 10, 10], [1, 0, 11, 10]</box>"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<obj>cat</obj><box>[1, 0, 11, 10], [0, 0, 10, 10]</box>", True),
        ("<obj>cat</obj><box>[[1, 0, 11, 10], [0, 0, 10, 10]]</box>", True),
        ("<obj>cat</obj><box>[1, 0, 11, 10]</box><box>[0, 0, 10, 10]</box>", True),
        ("<obj>cat</obj><box>[1, 0, 11, 10]</box><obj>cat</obj><box>[0, 0, 10, 10]</box>", True),
        # The first fits both golds (IoU 95/105), the second only the first (9/11; 8/12 with the second).
        ("<obj>cat</obj><box>[0.5, 0, 10.5, 10], [-1, 0, 9, 10]</box>", True),
        # Both fit the first gold alone.
        ("<obj>cat</obj><box>[-1, 0, 9, 10], [-1, 0, 9, 10]</box>", False),
        ("<obj>cat</obj><box>[0, 0, 10, 10]</box>", False),
    ],
)
def test_boxes_are_paired_one_to_one(text: str, right: bool) -> None:
    assert judge(text, TWO).score == float(right)


def test_golds_without_a_box_are_found_by_name() -> None:
    gold = "<obj>traffic light</obj><obj>car</obj>"
    # "traffic lights" has distance 1 of 14; "cat" and "car" 1 of 3; "bus" 3 of 3.
    assert judge("<obj>cat</obj><obj>traffic lights</obj>", gold).score == 1
    assert judge("<obj>bus</obj><obj>traffic lights</obj>", gold).score == 0
    assert judge("<obj>cat</obj><obj>traffic lights</obj>", gold, Reward(similarity=0.8)).score == 0
    assert judge("<obj>ab</obj>", "<obj>ac</obj>").score == 0  # A half is not above a half.


def test_a_graded_score_is_the_share_of_pairs() -> None:
    graded = Reward(graded=True)
    # One pair among two and one objects, and among one and three.
    assert judge(GOLD + "<obj>dog</obj>", reward=graded).score == pytest.approx(2 / 3)
    assert judge(GOLD, GOLD + "<obj>dog</obj><obj>sky</obj>", graded).score == pytest.approx(2 / 4)
    assert judge(GOLD, reward=graded).score == 1


def test_the_answer_and_what_cannot_be() -> None:
    assert judge(GOLD + GOLD + "<obj>dog</obj>").answer == "cat, dog"
    assert judge("no cat") == Score(0.0)
    with pytest.raises(ValueError, match="holds no <obj>"):
        judge(GOLD, "a cat")
    with pytest.raises(ValueError, match="iou and similarity"):
        Reward(iou=1)


@pytest.mark.parametrize(
    "text",
    [
        "<obj>" * 20_000,
        "<obj>cat</obj>" * 7_000,
        "<obj>cat</obj><box>" + "[" * 100_000,
        "<obj>cat</obj><box>[1e999, 9**9, 0, " + "9" * 100 + "]</box>",
        "<obj>cat</obj><box>[\0, \u0661, \u0662, \u0663, \u0664]</box>",
        GOLD * 3_000,
    ],
)
def test_strange_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    assert judge(text).score == 0
    assert time.process_time() - began < 1

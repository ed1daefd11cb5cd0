"""When verdicts take effect, and what they read."""

from __future__ import annotations

import threading

import pytest

from dapo.errors import UserError
from dapo.sampling.verdicts import Filter, Grading
from dapo.types import Completion, Example, GradedGroup, Group, Prompt, Rollout, Score


def group(number: int, *scores: float, **parts: list[float]) -> GradedGroup:
    rollouts = [
        Rollout(
            Completion([1], [0.0], [0], [True], "eos", ""),
            Score(score, parts={name: values[index] for name, values in parts.items()}),
            reward=score - 0.1 * index,
        )
        for index, score in enumerate(scores)
    ]
    return GradedGroup(Prompt(Example(str(number), (), ""), (0,), 1, number=number), rollouts)


def ended(number: int) -> Group:
    return Group(group(number, 0.0, 1.0).prompt, [])


def test_a_verdict_takes_effect_a_fixed_number_of_ticks_after_its_group_ended() -> None:
    grading = Grading(lambda g: group(g.prompt.number, 0.0, 1.0), delay=3)
    grading.submit([ended(1), ended(0)], tick=5)
    grading.submit([ended(2)], tick=6)
    assert grading.due(7) == []
    assert [g.prompt.number for g in grading.due(8)] == [1, 0]
    assert [g.prompt.number for g in grading.due(None)] == [2]
    assert grading.due(None) == []


def test_a_late_grader_is_waited_for_and_does_not_hold_up_the_sampler_before() -> None:
    go = threading.Event()

    def slow(g: Group) -> GradedGroup:
        assert go.wait(10)
        return group(g.prompt.number, 0.0, 1.0)

    grading = Grading(slow, delay=2)
    grading.submit([ended(0)], tick=0)
    assert grading.due(1) == []  # returns at once, though the grader is at work
    threading.Timer(0.05, go.set).start()
    assert len(grading.due(2)) == 1


def test_what_is_dropped_takes_no_effect() -> None:
    grading = Grading(lambda g: group(0, 1.0), delay=0)
    grading.submit([ended(0)], tick=0)
    grading.drop()
    assert grading.due(None) == []


@pytest.mark.parametrize(
    ("on", "verdict"),
    [("score", "all_wrong"), ("reward", "signal"), ("acc", "signal"), ("same", "all_wrong")],
)
def test_the_filter_reads_what_it_is_told_to(on: str, verdict: str) -> None:
    """Shaping makes an all-wrong group look mixed: only a filter on the score is not fooled."""
    graded = group(0, 0.0, 0.0, acc=[0.0, 1.0], same=[0.5, 0.5])
    assert Filter(on, 1e-6)(graded) == verdict


def test_differences_up_to_the_tolerance_are_none() -> None:
    assert Filter("score", 0.31)(group(0, 0.6, 0.9)) == "all_right"
    assert Filter("score", 0.2)(group(0, 0.6, 0.9)) == "signal"
    assert Filter("score", 0.5)(group(0, 0.1, 0.3)) == "all_wrong"


def test_a_completion_that_could_not_be_graded_has_parts_of_0() -> None:
    """Its score has none, and the run goes on."""
    two, three = group(0, 0.0, 0.0, acc=[0.0, 0.0]), group(0, 0.0, 0.0, 0.0, acc=[0.7, 0.7, 0.0])
    two.rollouts[1].score = three.rollouts[2].score = Score(0.0, error="it raised ValueError")
    assert Filter("acc", 1e-6)(two) == "all_wrong"
    assert Filter("acc", 1e-6)(three) == "signal"


def test_an_unknown_part_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no part 'bonus'.*score, reward, acc"):
        Filter("bonus", 1e-6)(group(0, 0.0, 1.0, acc=[0.0, 1.0]))

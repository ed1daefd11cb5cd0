"""Rewards that rows choose: each is adapted, isolated and loaded as it would be by itself."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.grading.adapt import as_reward
from dapo.grading.composition import Shaping, composed
from dapo.grading.functions import Remembered, is_isolated
from dapo.grading.grader import Grader, SourceGrader
from dapo.grading.quarantine import Quarantine
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.rewards import exact, math, mixed, number, reflection
from dapo.types import Completion, Example, Score
from tests.unit.grading import bad_rewards


def example(kind: str | None, answer: str = "4", id: str = "row-1") -> Example:
    return Example(id, [{"role": "user", "content": "2+2?"}], answer, {"data_source": kind})


def completions(*texts: str) -> list[Completion]:
    return [Completion([len(text)], [0.0], [0], [True], "eos", text) for text in texts]


def process(completion: Completion, example: Example) -> Score:
    """Where it was graded."""
    return Score(1.0, answer=str(os.getpid()))


def place(completions: Sequence[Completion], example: Example) -> list[Score]:
    """The place of a completion among those it is compared with."""
    return [Score(1.0, answer=str(number)) for number, _ in enumerate(completions)]


def three_wide(completions: list[str], **columns: Any) -> list[float]:
    return [3.0 for _ in completions]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(GradingSettings(workers=2, seconds_per_answer=0.8)) as workers:
        yield workers


def test_a_function_of_the_example_alone_chooses() -> None:
    def by_length(example: Example) -> Callable[..., Any]:
        return number.Reward() if len(example.answer) == 1 else exact.Reward()

    grader = Grader(by_length)
    assert [one.score for one in grader.grade(completions("it is 4"), example(None))] == [1.0]
    assert [one.score for one in grader.grade(completions("it is 44"), example(None, "44"))] == [0.0]
    with pytest.raises(UserError, match="chooses a reward for each row; give score_range"):
        as_reward(by_length, score_range=(-1, 1))


def test_what_is_chosen_keeps_its_signature_and_its_range() -> None:
    reward = mixed.Reward(rewards={"group": place, "trl": as_reward(three_wide, score_range=(0, 6))})
    for way in (Grader(reward).grade, as_reward(reward).outcomes):
        assert [one.answer for one in way(completions("a", "b"), example("group"))] == ["0", "1"]  # type: ignore[attr-defined]
        assert way(completions("a"), example("trl")) == [Score(0.5, reward=3.0)]
    assert as_reward(reward)(completions("a")[0], example(None)).score == 0.0


def test_each_reward_is_isolated_by_its_own_rules(workers: Workers) -> None:
    reward = mixed.Reward(rewards={"mine": process, "loop": bad_rewards.per_completion})
    grader = Grader(reward, error_score=0.5, workers=workers)
    rows = [example("mine"), example("loop"), example("openai/gsm8k"), example("lighteval/MATH")]
    assert grader.chooses and grader.threads == 2
    assert grader.prepare([*rows, example(None), example(None)]) == {
        f"{__name__}:process": 1,
        "tests.unit.grading.bad_rewards:per_completion": 1,
        "dapo.rewards.number:Reward": 1,
        "dapo.rewards.math:Reward": 1,
        "dapo.rewards.exact:Reward": 2,
    }
    assert grader.grade(completions("4"), rows[0])[0].answer != str(os.getpid())
    slow, right = grader.grade(completions("loop", "4"), rows[1])
    assert (slow.score, right.score) == (0.5, 1.0) and "took longer than 0.8 s" in str(slow.error)
    assert [one.score for one in grader.grade(completions("4.0", "5"), rows[2])] == [1.0, 0.0]


def test_what_needs_no_process_gets_none() -> None:
    workers = Workers(GradingSettings(workers=2))
    with workers:
        grader = Grader(mixed.Reward(), workers=workers)
        grader.prepare([example("openai/gsm8k"), example(None)])
        grader.grade(completions("4"), example("openai/gsm8k"))
        assert all(slot._worker is None for slot in workers._slots)
        grader.prepare([example("lighteval/MATH")])
        assert sum(slot._worker is not None for slot in workers._slots) == 1


def test_the_quarantine_names_the_reward_that_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    Grader(mixed.Reward(), quarantine=Quarantine(path)).grade(completions("4"), example("openai/gsm8k", "x"))
    assert json.loads(path.read_text())["reward"] == "dapo.rewards.number:Reward"


def test_errors_of_the_data_come_before_anything_is_graded(workers: Workers) -> None:
    grader = Grader(mixed.Reward(rewards={"bad": bad_rewards.per_completion}), workers=workers)
    with pytest.raises(UserError, match="no reward is known for data_source 'mine'"):
        grader.prepare([example(None), example("mine")])


def test_shaping_around_a_choice_is_shaping_around_what_is_chosen(workers: Workers) -> None:
    term = Shaping(reward=as_reward(exact.Reward()), name="exact", weight=0.5)
    whole = composed(as_reward(mixed.Reward(rewards={"mine": process})), [term])
    one, other = whole.of(example("openai/gsm8k")), whole.of(example("mine"))
    assert whole.of(example("openai/gsm8k")) is one and one.of(example("mine")) is one
    assert (one.isolated, other.isolated, one.outcomes.unit) == (False, True, "answer")
    assert one.outcomes.name == "dapo.rewards.number:Reward with exact"
    for grader in (Grader(whole), Grader(whole, workers=workers)):
        [found] = grader.grade(completions("it is 4"), example("openai/gsm8k"))
        assert found == Score(1.0, answer="4", parts={"exact": -0.5})  # 0.5 x (0 - 1)
        [found] = grader.grade(completions("Answer: 4"), example("mine"))
        assert (found.parts, found.answer == str(os.getpid())) == ({"exact": 0.0}, grader.threads == 1)


def test_sources_count_together() -> None:
    graders = {"a": Grader(mixed.Reward()), "b": Grader(exact.Reward())}
    grader = SourceGrader(graders, lambda name: name[0])
    rows = [example("math", id="a1"), example("openai/gsm8k", id="a2"), example("math", id="b1")]
    assert grader.chooses and dict(grader.prepare(rows)) == {
        "dapo.rewards.math_dapo:Reward": 1,
        "dapo.rewards.number:Reward": 1,
        "dapo.rewards.exact:Reward": 1,
    }
    assert not SourceGrader({"b": graders["b"]}, lambda name: "b").chooses


def test_a_reward_that_holds_another_is_isolated_as_that_one_is() -> None:
    assert is_isolated(reflection.Reward()) and is_isolated(reflection.Reward(as_reward(process)))
    assert not is_isolated(reflection.Reward(number.Reward()))
    assert is_isolated(reflection.Reward(number.Reward(), side=(math.Reward(),)))


def test_what_was_remembered_is_the_same_and_stays_at_home() -> None:
    remembered: Remembered[list[int], list[int]] = Remembered()
    things = [[1], [1]]
    made = [remembered(thing, lambda thing: [*thing, 2]) for thing in (*things, *things)]
    assert made[0] is made[2] is not made[1] is made[3] and made[0] == [1, 2]
    assert pickle.dumps(remembered) == pickle.dumps(Remembered())
    for _ in range(3000):
        remembered([3], lambda thing: thing)
    assert len(remembered._known) <= 1000

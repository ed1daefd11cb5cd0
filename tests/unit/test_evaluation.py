"""What an evaluation says about its completions, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dapo.evaluation import EvalSettings, Evaluation, evaluate
from dapo.grading.grader import Grader
from dapo.rewards import exact
from dapo.run.eval_records import EvalRecord, records_of
from dapo.types import Completion, Example, Group, Prompt, SamplingParams


def record(name: str, index: int, score: float, found: str | None, **changes: Any) -> EvalRecord:
    values: dict[str, Any] = {
        "source": "",
        "prompt": [{"role": "user", "content": name}],
        "answer": "4",
        "completion": "",
        "finish_reason": "eos",
        "tokens": 10,
        "error": None,
        **changes,
    }
    return EvalRecord(id=name, index=index, score=score, extracted=found, **values)


TWO = Evaluation(
    [
        [
            record("a", 0, 1.0, "4", tokens=2),
            record("a", 1, 0.0, "5", finish_reason="length", tokens=8),
            record("a", 2, 0.0, None),
            record("a", 3, 1.0, "4", tokens=20),
        ],
        [
            record("b", 0, 0.0, "6"),
            record("b", 1, 0.0, None, error="boom"),
            record("b", 2, 0.25, "7"),
            record("b", 3, 0.0, "7"),
        ],
    ]
)


def test_figures_by_hand() -> None:
    """`a`: 2 of 4 right, the majority (4) right; `b`: none, its majority (7) scored 0.25 and 0."""
    expected = {
        "avg@4": (0.5 + 0.0625) / 2,
        "pass@1": 0.25,
        "pass@2": (1 - 1 / 6) / 2,  # of 6 pairs of `a` one is all wrong
        "pass@4": 0.5,
        "maj@4": (1 + 0.125) / 2,
        "best@4": (1 + 0.25) / 2,
        "worst@4": 0.0,
        "completion/mean_tokens": 10.0,
        "completion/truncated_share": 1 / 8,
        "reward/no_answer_share": 1 / 8,
        "reward/ungraded_share": 1 / 8,
    }
    found = {name: value for name, value in TWO.metrics.items() if not name.endswith(("/low", "/high"))}
    assert found == pytest.approx(expected)
    assert TWO.accuracy == pytest.approx(expected["avg@4"])
    for name in expected:
        if name == "completion/mean_tokens":  # both prompts have 10 on average: nothing to resample
            assert TWO.intervals[name] is None and f"{name}/low" not in TWO.metrics
        else:
            assert 0 <= TWO.metrics[f"{name}/low"] <= TWO.metrics[name] <= TWO.metrics[f"{name}/high"] <= 1


def test_verl_s_names() -> None:
    """Two draws from a right and a wrong completion hold a right one with a chance of 3/4."""
    part = [[record("a", 0, 1.0, "4", source="aime"), record("a", 1, 0.0, "5", source="aime")]]
    other = [[record("b", 0, 1.0, "4"), record("b", 1, 1.0, "4")]]
    metrics = Evaluation(part + other).verl_metrics("mine")
    names = {f"val-core/SOURCE/acc/{name}" for name in ("mean@2", "best@2/mean", "best@2/std", "maj@2/mean")}
    names |= {"val-core/SOURCE/acc/maj@2/std", "val-aux/SOURCE/acc/std@2"}
    names |= {f"val-aux/SOURCE/acc/worst@2/{figure}" for figure in ("mean", "std")}
    assert set(metrics) == {name.replace("SOURCE", source) for name in names for source in ("aime", "mine")}
    assert metrics["val-core/aime/acc/mean@2"] == 0.5
    assert metrics["val-aux/aime/acc/std@2"] == 0.5
    assert metrics["val-core/aime/acc/best@2/mean"] == pytest.approx(0.75, abs=0.05)
    assert metrics["val-core/mine/acc/best@2/mean"] == 1.0
    # With fewer than all completions a figure is no core one.
    four = Evaluation([[record("a", index, 0.0, "4") for index in range(4)]]).verl_metrics("x")
    assert "val-aux/x/acc/best@2/mean" in four and "val-core/x/acc/best@4/mean" in four


def test_a_reward_that_takes_no_answer_out() -> None:
    right = Evaluation([[record("a", 0, 1.0, None), record("a", 1, 0.0, None)]])
    assert not right.finds_answers
    assert not any("maj" in name for name in right.verl_metrics("x"))
    assert right.metrics["maj@2"] == 0.5
    assert Evaluation([[record("a", 0, 0.0, None)]]).finds_answers  # it looked, and found none
    assert TWO.finds_answers


def test_sources_are_told_apart() -> None:
    groups = [
        [record(name, 0, float(name == "a"), "4", source=source)] for name, source in ("ax", "by", "cx")
    ]
    sources = Evaluation(groups).by_source()
    assert {name: part.accuracy for name, part in sources.items()} == {"x": 0.5, "y": 0.0}


def test_prompts_have_one_number_of_completions() -> None:
    with pytest.raises(ValueError, match="the same number of completions for each prompt, not 1, 4"):
        Evaluation([*TWO.groups, TWO.groups[0][:1]])
    with pytest.raises(ValueError, match="not none"):
        Evaluation([])


@pytest.mark.parametrize("name", ["completions", "limit", "max_completion_tokens"])
def test_settings_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        EvalSettings(**{name: 0})


class Slow:
    """A generator that ends prompts in the opposite order, one at a tick."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, work: Iterator[Any], params: SamplingParams) -> Any:
        self.waiting = [prompt for prompt in work if prompt is not None]
        self.asked = [prompt.example.id for prompt in self.waiting]
        return self

    def step(self) -> list[Group]:
        prompt = self.waiting.pop()
        text = f"Answer: {prompt.example.answer}"
        return [Group(prompt, [Completion([1], [0.0], [0], [True], "eos", text)])]


PROMPTS = [Prompt(Example(name, [{"role": "user", "content": name}], name), [1], 4) for name in "abc"]


def test_prompts_are_written_as_they_end_and_told_in_their_order() -> None:
    written: list[str] = []
    result = evaluate(
        Slow(),
        PROMPTS,
        Grader(exact.Reward()),
        SamplingParams(purpose="eval"),
        write=lambda records: written.append(records[0].id),
    )
    assert written == ["c", "b", "a"]
    assert [group[0].id for group in result.groups] == ["a", "b", "c"]
    assert result.accuracy == 1.0
    assert [record["extracted"] for record in result.records()] == ["a", "b", "c"]


def test_what_is_done_is_not_asked_again() -> None:
    known = records_of(
        Group(PROMPTS[1], [Completion([1, 2], [0.0] * 2, [0] * 2, [True] * 2, "eos", "x")]),
        Grader(exact.Reward()).grade([Completion([1, 2], [], [], [], "eos", "x")], PROMPTS[1].example),
    )
    slow, seen = Slow(), []
    result = evaluate(
        slow,
        PROMPTS,
        Grader(exact.Reward()),
        SamplingParams(purpose="eval"),
        progress=lambda done, total: seen.append((done, total)),
        done={"b": known},
    )
    assert slow.asked == ["a", "c"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [group[0].score for group in result.groups] == [1.0, 0.0, 1.0]


def test_prompts_have_ids_of_their_own() -> None:
    with pytest.raises(ValueError, match="two prompts have one id"):
        evaluate(Slow(), [PROMPTS[0]] * 2, Grader(exact.Reward()), SamplingParams(purpose="eval"))

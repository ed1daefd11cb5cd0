"""What a check finds out about rewards: those of the package, and some that are wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.grading import check as module
from dapo.grading.check import KINDS, CheckReport, Result, check_reward, completion_of, sample, shortened
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.rewards import (
    choice,
    code,
    exact,
    json_match,
    knowledge,
    math,
    math_dapo,
    number,
    qa_f1,
    tool_calls,
)
from dapo.tasks import arithmetic, countdown
from dapo.types import Example
from tests.unit.grading import eager_rewards

SUMS = arithmetic.Task(train_size=32, eval_size=1)


def checked(
    reward: Callable[..., Any],
    task: Any = SUMS,
    examples: Sequence[Example] | None = None,
    workers: Workers | None = None,
    **settings: Any,
) -> CheckReport:
    grader = Grader(reward, workers=workers)
    return check_reward(CheckReport("x", grader.name), task, examples or task.train()[:8], grader, **settings)


def of(report: CheckReport, name: str) -> Result:
    return next(result for result in report.results if result.kind.name == name)


def test_the_quickstarts_reward_passes() -> None:
    report = checked(number.Reward(require_marker=True))
    assert [result.kind for result in report.results] == list(KINDS)
    assert (report.golds.answers, report.golds.share, report.golds.findings) == (8, 1.0, [])
    assert of(report, "wrong").answers == 48 and of(report, "wrong").accepted == 0
    assert of(report, "format").share == 1 and of(report, "number").share == 1
    assert of(report, "statement").by_name["#### ..."] == (8, 8)
    assert of(report, "statement").by_name["the answer alone"] == (8, 0)
    assert report.passed(0.99) and not report.made_up and report.answers_per_second > 0


def test_a_strict_reward_is_described_and_not_failed() -> None:
    report = checked(math_dapo.Reward())
    assert report.passed(1.0)
    assert of(report, "format").by_name["bold"] == (8, 0)
    assert of(report, "format").by_name["dollar signs"] == (8, 8)
    assert {one.probe for one in of(report, "format").findings} >= {"bold", "in brackets"}


def test_a_reward_that_refuses_golds_fails() -> None:
    report = checked(exact.Reward(marker="####"))
    assert not report.passed(0.99) and report.passed(0.0)
    finding = report.golds.findings[0]
    gold = SUMS.train()[0]
    assert (finding.id, finding.gold, finding.score, finding.extracted) == (gold.id, gold.answer, 0.0, None)
    assert finding.text.endswith(f"Answer: {gold.answer}")


def test_a_reward_that_says_yes_to_everything_is_found_out() -> None:
    report = checked(eager_rewards.always, workers=None)
    assert report.golds.share == 1
    for name in ("wrong", "adversarial"):
        assert of(report, name).share == 1
        assert len(of(report, name).findings) == of(report, name).answers > 40


@pytest.fixture(scope="module")
def workers() -> Any:
    with Workers(GradingSettings(workers=2, seconds_per_answer=1.0)) as workers:
        yield workers


def test_a_reward_that_runs_what_an_answer_says_is_found_out(workers: Workers) -> None:
    report = checked(eager_rewards.obedient, examples=SUMS.train()[:1], workers=workers)
    assert report.executed == ["shell"]
    assert report.golds.share == 1 and not report.passed(0.0)


def test_time_outs_are_counted_and_wrong(workers: Workers) -> None:
    report = checked(eager_rewards.slow_on_numbers, examples=SUMS.train()[:1], workers=workers)
    attacks = of(report, "adversarial")
    assert (attacks.timeouts, attacks.errors, attacks.accepted) == (1, 1, 0)
    assert attacks.slowest >= 1.0 and report.passed(0.99)


def test_an_error_score_of_1_is_what_training_would_see() -> None:
    grader = Grader(lambda completion, example: float("nan"), error_score=1.0)
    report = check_reward(CheckReport("x", ""), SUMS, SUMS.train()[:2], grader)
    assert report.golds.share == 1 and report.golds.errors == 2
    assert of(report, "wrong").share == 1
    assert of(report, "wrong").findings[0].error == "the reward function returned nan"


def test_a_reward_that_compares_gets_one_answer_at_a_time() -> None:
    """Beside attacks, a right answer would look as it does beside no completions of a policy."""
    report = checked(eager_rewards.of_groups)
    assert of(report, "format").by_name["blanks around"] == (8, 8)
    assert of(report, "adversarial").accepted == 0


def test_a_task_without_golds_is_tried_with_made_up_ones() -> None:
    report = checked(exact.Reward(), task=object(), examples=SUMS.train()[:4])
    assert report.made_up and report.golds.share == 1


def test_examples_without_a_known_gold_are_left_out() -> None:
    task = countdown.Task(train_size=4, eval_size=1)
    unknown = Example("z", [], "24", {"nums": [4, 6]})
    report = checked(task.reward, task, [*task.train(), unknown])
    assert (report.examples, report.without_gold, report.golds.answers) == (5, 1, 4)
    report = checked(task.reward, task, [unknown])
    assert report.golds.answers == 0 and report.passed(0.99)


def test_what_there_is_no_time_for_is_left_out_and_said() -> None:
    report = checked(number.Reward(), seconds=1e-6)
    assert [result.left_out for result in report.results] == [7] * len(KINDS)
    assert report.golds.answers == 1


def test_attacks_are_made_of_fewer_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [*(kind for kind in KINDS if kind.name == "gold"), KINDS[-1]]
    monkeypatch.setattr(module, "KINDS", few)
    task = arithmetic.Task(train_size=60, eval_size=1)
    report = checked(number.Reward(require_marker=True), task, task.train())
    assert report.golds.answers == 60
    assert of(report, "adversarial").by_name["empty text"] == (50, 0)


def test_numbers_outside_the_range_of_a_score_stop_the_check() -> None:
    with pytest.raises(UserError, match="score_range"):
        checked(lambda completion, example: 7.0)


TESTS = json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]})
EXAMPLES = {
    "exact": (exact.Reward(), Example("1", [], "a")),
    "number": (number.Reward(), Example("1", [], "57")),
    "math_dapo": (math_dapo.Reward(), Example("1", [], "57")),
    "math": (math.Reward(), Example("1", [], "\\frac{5}{7}")),
    "choice": (choice.Reward(), Example("1", [], "B", {"options": ["x", "y", "z"]})),
    "qa_f1": (qa_f1.Reward(), Example("1", [], "Zanzibar")),
    "knowledge": (knowledge.Reward(), Example("1", [], "Zanzibar")),
    "json_match": (json_match.Reward(), Example("1", [], '{"a": 1}')),
    "tool_calls": (tool_calls.Reward(), Example("1", [], '[{"name": "f", "arguments": {"x": 1}}]')),
    "code": (code.Reward(), Example("1", [], TESTS)),
}


@dataclass
class Once:
    """Only the attacks matter here."""

    def gold_completion(self, example: Example) -> str:
        return f"Answer: {example.answer}"


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.skipif(sys.platform != "linux", reason="code runs behind walls on Linux only")
def test_no_attack_gets_a_point_or_is_executed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KINDS", [KINDS[0], KINDS[-1]])
    reward, example = EXAMPLES[name]
    report = checked(reward, Once(), [example])
    attacks = of(report, "adversarial")
    assert attacks.answers >= 50 and attacks.findings == []
    assert report.executed == []
    assert attacks.slowest < 3


def test_the_trap_is_gone_after_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    checked(number.Reward())
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_sample_is_the_same_each_time_and_fair() -> None:
    examples = [Example(str(place), [], "") for place in range(1000)]
    found = sample(iter(examples), 100)
    assert found == sample(examples, 100) and len({one.id for one in found}) == 100
    assert 350 < sum(int(one.id) for one in found) / 100 < 650  # The mean of all is 499.5, its spread 29.
    assert sample(examples[:5], 100) == examples[:5]


def test_completions_have_a_length() -> None:
    assert len(completion_of("x" * 400)) == 100 and len(completion_of("")) == 1


def test_long_texts_are_shortened_to_their_ends() -> None:
    assert shortened("a" * 500 + "b" * 500, 10) == "aaaaa [... 990 characters ...] bbbbb"

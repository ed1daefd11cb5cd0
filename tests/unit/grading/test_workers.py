"""Rewards that do the worst, in processes of their own: the answer concerned pays, and nobody else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.grading.adapt import ScoreRangeError, as_reward
from dapo.grading.grader import Grader
from dapo.grading.judging import Judged
from dapo.grading.quarantine import Quarantine
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.rewards import number
from dapo.types import Completion, Example, Score
from tests.unit.grading import bad_rewards
from tests.unit.grading.bad_rewards import BEHAVIOURS

EXAMPLE = Example("row-1", [{"role": "user", "content": "2+2?"}], "4", {"data_source": "sums"})

DEADLINE = 0.8


def completions(*texts: str) -> list[Completion]:
    return [Completion([len(text)], [0.0], [0], [True], "eos", text) for text in texts]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    settings = GradingSettings(workers=2, seconds_per_answer=DEADLINE, memory_gb=0.25)
    with Workers(settings) as workers:
        yield workers


def graded(workers: Workers, reward: Callable[..., Any], *texts: str) -> list[Score]:
    return Grader(reward, error_score=0.5, workers=workers).grade(completions(*texts), EXAMPLE)


# --- every way to misbehave

UNGRADED = {
    "loop": "took longer than 0.8 s",
    "loop in C": "took longer than 0.8 s",
    "crash": "ended its process with exit code 3",
    "segfault": "ended its process by SIGSEGV",
    "eat memory": "ran out of memory",
    "nan": "returned nan",
    "string": "returned a str, which is no number",
    "none": "returned None, which is no number",
    "unpicklable": "returned a function, which is no number",
    "sly": "the verdict could not be read: KeyError",
    "leave a child and crash": "ended its process with exit code 3",
    "hog": "took longer than 0.8 s",
    "close everything": "ended its process with exit code 0",
    "write nonsense": "wrote what is no result",
    "exit": "raised SystemExit: 1",
    "interrupt": "raised KeyboardInterrupt",
    "unprintable": "the verdict could not be read: RuntimeError",
    "long reason": "raised ValueError: xxx",
}
GRADED = ("print", "fork and return", "leave a child", "change surroundings")


def test_every_behaviour_is_tried() -> None:
    elsewhere = {"out of range", "hog later", "slow"}
    assert BEHAVIOURS.keys() == {*UNGRADED, *GRADED, *elsewhere}


@pytest.mark.parametrize("text", UNGRADED)
def test_only_the_answer_concerned_is_not_graded(workers: Workers, text: str) -> None:
    first, second, bad, third, fourth = graded(workers, bad_rewards.per_completion, "4", "5", text, "4", "5")
    assert [score.score for score in (first, second, third, fourth)] == [1.0, 0.0, 1.0, 0.0]
    assert all(score.error is None for score in (first, second, third, fourth))
    assert bad.score == 0.5
    assert UNGRADED[text] in str(bad.error)
    assert len(str(bad.error)) <= 1000


@pytest.mark.parametrize("text", GRADED)
def test_what_an_answer_leaves_behind_does_not_touch_the_next(workers: Workers, text: str) -> None:
    found = graded(workers, bad_rewards.per_completion, "4", text, "4", "5")
    assert found == [Score(1.0), Score(1.0), Score(1.0), Score(0.0)]
    assert graded(workers, bad_rewards.per_completion, "4", "5") == [Score(1.0), Score(0.0)]


def test_a_thread_left_behind_does_not_cost_the_answer_it_disturbs(workers: Workers) -> None:
    """The second answer is slow, and the thread of the first stops it until its time is over."""
    found = graded(workers, bad_rewards.per_completion, "hog later", "slow", "5")
    assert found == [Score(1.0), Score(1.0), Score(0.0)]


def test_verl_functions_run_in_workers(workers: Workers) -> None:
    found = graded(workers, bad_rewards.verl, "4", "crash", "5", "")
    assert found[0] == Score(1.0, answer="4") and found[2] == Score(0.0, answer="5")
    assert found[1].error == "grading it ended its process with exit code 3"
    assert found[3] == Score(0.0, answer=None)


@pytest.mark.parametrize("reward", [bad_rewards.trl, bad_rewards.whole_group])
def test_a_function_for_a_group_costs_its_group(workers: Workers, reward: Callable[..., Any]) -> None:
    assert graded(workers, reward, "4", "5") == [Score(1.0), Score(0.0)]
    lost = graded(workers, reward, "4", "crash", "5")
    assert [score.score for score in lost] == [0.5] * 3
    assert {score.error for score in lost} == {"grading it ended its process with exit code 3"}
    assert graded(workers, reward, "4", "nan")[0] == Score(1.0)


def test_a_group_has_the_time_of_its_answers_together(workers: Workers) -> None:
    """Two of 0.5 s take 1 s, more than one has, and less than two."""
    assert graded(workers, bad_rewards.whole_group, "slow", "slow") == [Score(1.0)] * 2


def test_too_few_scores(workers: Workers) -> None:
    found = graded(workers, bad_rewards.trl, "4", "too few")
    assert [score.error for score in found] == ["the reward function returned 1 scores for 2 completions"] * 2


def test_async_functions_run_together_and_each_answer_has_its_time(workers: Workers) -> None:
    texts = ("together a", "4", "wait", "together b", "exit", "together c", "5")
    found = graded(workers, bad_rewards.awaited, *texts)
    assert [score.score for score in found] == [1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 0.0]
    assert found[2].error == "grading it took longer than 0.8 s (grading.seconds_per_answer)"
    assert found[4].error == "the reward function raised SystemExit: 1"


def test_an_async_function_that_ends_the_process_costs_one_answer(workers: Workers) -> None:
    found = graded(workers, bad_rewards.awaited, "4", "crash", "5")
    assert [score.score for score in found] == [1.0, 0.5, 0.0]


# --- errors in settings, and rewards that workers cannot have


def test_a_number_outside_the_range_stops_the_run(workers: Workers) -> None:
    with pytest.raises(ScoreRangeError, match=r"no score from 0 to 1; declare .* score_range"):
        graded(workers, bad_rewards.per_completion, "4", "out of range")
    assert graded(workers, bad_rewards.per_completion, "4") == [Score(1.0)]


def test_a_mapping_to_scores_goes_along(workers: Workers) -> None:
    reward = as_reward(bad_rewards.per_completion, score_range=(-7, 7))
    assert graded(workers, reward, "out of range") == [Score(1.0, reward=7.0)]


def test_a_missing_column_stops_the_run(workers: Workers) -> None:
    with pytest.raises(UserError, match="asks for 'level', but the data has no such column"):
        graded(workers, bad_rewards.wants_level, "4")


class Refuses:
    """Can be sent, and not read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (lambda: 0, r"example bad cannot be sent .* set grading\.workers: 0"),
        (Refuses(), "a row of the data cannot be read by a worker: ValueError: invalid literal"),
    ],
)
def test_a_column_that_cannot_go_to_a_worker_stops_the_run(
    workers: Workers, column: Any, message: str
) -> None:
    example = Example("bad", [], "4", {"column": column})
    with pytest.raises(UserError, match=message):
        Grader(bad_rewards.per_completion, workers=workers).grade(completions("4"), example)
    assert graded(workers, bad_rewards.per_completion, "4") == [Score(1.0)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": -1}, "workers must be at least 0"),
        ({"seconds_per_answer": 0}, "seconds_per_answer must be greater than 0"),
        ({"memory_gb": 0}, "memory_gb must be greater than 0; null"),
        ({"error_score": 1.5}, r"error_score must lie in \[0, 1\]"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradingSettings(**wrong)


def test_a_reward_that_workers_cannot_import(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded(workers, bad_rewards.per_completion, "4")  # The worker is there before the path.
    module = tmp_path / "only_once.py"
    module.write_text("def reward(completion, example):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_once  # type: ignore[import-not-found]

    module.write_text("import sys\nsys.exit('not again')\n")
    with pytest.raises(UserError, match=r"only_once:reward cannot be loaded .* SystemExit: not again"):
        Grader(only_once.reward, workers=workers)
    assert graded(workers, bad_rewards.per_completion, "4") == [Score(1.0)]


def test_functions_that_no_other_process_can_import_run_here(workers: Workers) -> None:
    grader = Grader(lambda completion, example: completion.text == example.answer, workers=workers)
    assert grader.grade(completions("4", "5"), EXAMPLE) == [Score(1.0), Score(0.0)]
    [note] = grader.notes
    assert "runs in the process of the run" in note and "module of its own" in note


def test_only_what_may_misbehave_runs_in_workers(workers: Workers) -> None:
    [found] = graded(workers, bad_rewards.pid, "4")
    assert found.answer != str(os.getpid())
    [found] = graded(workers, bad_rewards.InProcess(), "4")
    assert found.answer == str(os.getpid())
    assert Grader(number.Reward(), workers=workers).threads == 1
    assert Grader(bad_rewards.Threshold(2), workers=workers).threads == 2
    assert Grader(bad_rewards.pid, workers=Workers(GradingSettings(workers=0))).threads == 1


def test_settings_of_a_reward_and_all_of_a_score_go_along(workers: Workers) -> None:
    assert graded(workers, bad_rewards.Threshold(2), "x", "xx") == [Score(0.0), Score(1.0)]
    text = "lone \ud800 and \0 and \N{SNOWMAN}" + "x" * 300_000
    expected = Score(0.25, reward=-3.5, answer=text, parts={"length": -0.1})
    assert graded(workers, bad_rewards.rich, text) == [expected]


@pytest.mark.parametrize(
    "judged",
    [
        Judged(Score(1 / 3, reward=-1e-300, answer="\ud800", parts=MappingProxyType({"a": 0.1})), 0.25),
        Judged(None, 1.5, "timeout", "late"),
    ],
)
def test_a_judgement_survives_the_way_back(judged: Judged) -> None:
    assert Judged.loads(json.loads(judged.dumps())) == judged


# --- many at once


def test_scores_do_not_depend_on_the_number_of_workers_or_on_who_is_killed_beside_them() -> None:
    bad = ("crash", "nan", "exit", "loop")
    groups = [[str(n % 7), bad[n % 4] if n % 10 == 0 else "4", str(n % 5)] for n in range(40)]
    expected = [[float(t == "4") if t.isdigit() else 0.0 for t in group] for group in groups]
    found = []
    for count in (1, 3):
        settings = GradingSettings(workers=count, seconds_per_answer=DEADLINE)
        with Workers(settings) as workers, ThreadPoolExecutor(count) as pool:
            grader = Grader(bad_rewards.per_completion, workers=workers)
            answers = [completions(*group) for group in groups]
            found.append(list(pool.map(grader.grade, answers, [EXAMPLE] * len(groups))))
        assert (grader.tally.graded, grader.tally.errors, grader.tally.timeouts) == (120, 4, 0)
    assert [[score.score for score in group] for group in found[0]] == expected
    assert found[0] == found[1]


def test_slow_answers_of_a_prompt_are_shared_out(workers: Workers) -> None:
    grader = Grader(bad_rewards.slow_pid, workers=workers)
    assert len({score.answer for score in grader.grade(completions("a", "b"), EXAMPLE)}) == 1
    first, second, third, fourth = grader.grade(completions("a", "b", "c", "d"), EXAMPLE)
    assert (first.answer, third.answer) == (second.answer, fourth.answer)
    assert first.answer != third.answer


def test_large_prompts_and_completions_do_not_block_the_pipe(workers: Workers) -> None:
    example = Example("long", [{"role": "user", "content": "x" * 10**7}], "4")
    texts = ["y" * 10**6] * 4 + ["4"]
    found = Grader(bad_rewards.per_completion, workers=workers).grade(completions(*texts), example)
    assert [score.score for score in found] == [0.0] * 4 + [1.0]


# --- figures and the quarantine


def test_counts_and_latency(workers: Workers) -> None:
    grader = Grader(bad_rewards.verl, workers=workers)
    grader.grade(completions("4", "", "loop", "crash", "slow"), EXAMPLE)
    metrics = grader.take_tally().metrics()
    assert (metrics["reward/errors"], metrics["reward/timeouts"]) == (2, 1)
    assert metrics["reward/parse_failures"] == 1  # The empty one: "slow" has an answer.
    assert metrics["reward/latency_max"] >= DEADLINE
    assert (DEADLINE + 0.5) / 5 <= metrics["reward/latency"] < metrics["reward/latency_max"]
    assert grader.take_tally().metrics() == {}


def test_what_could_not_be_graded_is_written_down_within_bounds(tmp_path: Path, workers: Workers) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.jsonl", limit=50_000)
    grader = Grader(bad_rewards.fails_on_long, workers=workers, quarantine=quarantine)
    long = "\ud800 begin " + "x" * 100_000 + " end"
    grader.grade(completions("4", long, "short"), EXAMPLE)
    [line] = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["id"] == "row-1" and record["reward"] == "tests.unit.grading.bad_rewards:fails_on_long"
    assert record["failure"] == "error" and "ValueError: too long" in record["reason"]
    assert record["text"].startswith("\ud800 begin x") and record["text"].endswith("x end")
    assert "[... 80,012 characters ...]" in record["text"]  # 8 + 100,000 + 4 without 20,000
    assert record["time"].startswith("20")
    for _ in range(10):
        grader.grade(completions(long), EXAMPLE)
    assert (tmp_path / "quarantine.jsonl").stat().st_size <= 50_000
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 2

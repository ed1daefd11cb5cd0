"""The tasks over the real files: how many rows, and gold answers that are right under their own reward."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from dapo.data.dedupe import deduplicate
from dapo.data.files import read_rows
from dapo.grading.grader import Grader
from dapo.tasks import aime, dapo_math, file, gsm8k, gsm8k_calculator, math500, rag_qa
from dapo.types import Completion, Example

SHARED = os.environ.get("DAPO_SHARED")
pytestmark = pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED is not set")
DATA = Path(SHARED or "", "data")

TRAIN, TEST = str(DATA / "gsm8k_train.jsonl"), str(DATA / "gsm8k_test.jsonl")
DAPO_MATH = str(DATA / "dapo_math_17k.parquet")


def all_gold_answers_are_right(task: Any, examples: list[Example]) -> bool:
    grader = Grader(task.reward)
    for example in examples:
        completion = Completion([], [], [], [], "eos", task.gold_completion(example))
        [score] = grader.grade([completion], example)
        assert (score.score, score.error) == (1.0, None), example
    return grader.tally.graded == len(examples) > 0


def test_gsm8k() -> None:
    task = gsm8k.Task(TRAIN, TEST)
    train, test = task.train(), task.eval()
    assert (len(train), len(test)) == (7473, 1319)
    assert {example.id for example in train}.isdisjoint(example.id for example in test)
    assert all_gold_answers_are_right(task, train) and all_gold_answers_are_right(task, test)
    assert (train[0].answer, test[0].answer) == ("72", "18")
    assert sum("<<" in task.gold_completion(example) for example in train) == 0


def test_gsm8k_calculator() -> None:
    task = gsm8k_calculator.Task(TRAIN, TEST)
    train, held_out = task.train(), task.eval()
    assert (len(train), len(held_out)) == (10_770, 1_375)
    assert all_gold_answers_are_right(task, train) and all_gold_answers_are_right(task, held_out)
    assert deduplicate([*train, *held_out]).duplicates == 0
    assert len(gsm8k_calculator.Task(TRAIN, TEST, held_out_only=False).eval()) == 2_846


def test_gsm8k_calculator_counts_what_it_leaves_out() -> None:
    found = gsm8k_calculator.read_annotations(read_rows(TRAIN))
    assert (len(found.values), found.repeated, found.wrong, found.malformed) == (10_770, 12_944, 0, 2)


def test_dapo_math() -> None:
    task = dapo_math.Task(DAPO_MATH)
    examples = task.train()
    assert len(examples) == 17_917
    assert all_gold_answers_are_right(task, examples)
    questions = [str(example.messages[0]["content"]) for example in examples]
    assert all(text.startswith(dapo_math.PREFIX) and text.endswith(dapo_math.SUFFIX) for text in questions)
    assert not any("\frac" in text for text in questions)
    unique = deduplicate(examples)
    assert (len(unique.examples), unique.duplicates, len(unique.conflicts)) == (16_921, 996, 15)


def test_dapo_math_as_it_stands() -> None:
    task = dapo_math.Task(DAPO_MATH, repair_fractions=False)
    assert sum("\frac" in str(example.messages[0]["content"]) for example in task.train()) > 0


@pytest.mark.parametrize(
    ("year", "name"),
    [(2024, "aime24.jsonl"), (2024, "aime24_dapo_format.parquet"), (2025, "aime25.jsonl")],
)
def test_aime(year: Any, name: str) -> None:
    task = aime.Task(year, str(DATA / name))
    examples = task.eval()
    assert len(examples) == (960 if name.endswith(".parquet") else 30)
    assert len(deduplicate(examples).examples) == 30
    assert all_gold_answers_are_right(task, examples)
    for example in examples:
        text = str(example.messages[0]["content"])
        assert text.count(dapo_math.PREFIX) == text.count(dapo_math.SUFFIX) == 1


def test_both_files_of_aime_2024_hold_the_same_answers() -> None:
    answers = [
        sorted(example.answer for example in deduplicate(aime.Task(2024, str(DATA / name)).eval()).examples)
        for name in ("aime24.jsonl", "aime24_dapo_format.parquet")
    ]
    assert answers[0] == answers[1]


def test_a_file_in_verl_s_schema() -> None:
    task = file.Task(path=DAPO_MATH, eval_fraction=0.02)
    train, held_out = task.train(), task.eval()
    assert len(train) + len(held_out) == 17_917
    assert 0 < len(held_out) < 500
    assert all_gold_answers_are_right(task, held_out)


def test_files_with_columns_of_their_own() -> None:
    task = file.Task(path=str(DATA / "aime25.jsonl"), prompt="problem")
    assert len(task.train()) == 30
    assert all_gold_answers_are_right(task, task.train())
    latex = file.Task(path=str(DATA / "math500.jsonl"), prompt="problem", id="unique_id")
    assert all_gold_answers_are_right(latex, latex.train())
    assert latex.train()[0].id == "test/precalculus/807.json"


def test_demonstrations_are_the_worked_solutions() -> None:
    task = gsm8k.Task(TRAIN, TEST)
    for example, text in islice(task.demonstrations(), 20):
        assert text == task.gold_completion(example)


def test_rag_qa() -> None:
    task = rag_qa.Task(
        passages=str(DATA / "xquad_en_contexts.jsonl"), questions=str(DATA / "xquad_en_qa.jsonl")
    )
    train, held_out = task.train(), task.eval()
    assert len(train) + len(held_out) == 1190 and 60 < len(held_out) < 180
    assert all_gold_answers_are_right(task, train) and all_gold_answers_are_right(task, held_out)
    for example in train:
        assert example.answer in str(example.messages[-1]["content"])


def test_math500() -> None:
    task = math500.Task(path=str(DATA / "math500.jsonl"))
    examples = task.eval()
    assert len(examples) == 500
    assert all_gold_answers_are_right(task, examples)

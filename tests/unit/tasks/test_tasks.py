from __future__ import annotations

import importlib
import json
import logging
import pkgutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import dapo.rewards
import dapo.tasks
from dapo.errors import UserError
from dapo.rewards import by_source, number
from dapo.tasks import aime, dapo_math, file, gsm8k, gsm8k_calculator, hub
from dapo.types import Completion, Example


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def graded(task: Any, example: Example, text: str) -> float:
    score: float = task.reward(Completion([], [], [], [], "eos", text), example).score
    return score


def problem(text: str, answer: str = "5") -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"role": "user", "content": text}],
        "reward_model": {"ground_truth": answer},
    }


def question_of(example: Example) -> str:
    return str(example.messages[-1]["content"])


# --- GSM8K

SOLVED = {
    "question": "48 clips, then half as many?",
    "answer": "She sold 48/2 = <<48/2=24>>24 in May.\nThat makes $<<1000+72=1072>>1,072.\n#### 1,072",
}


def test_gsm8k_asks_and_solves(tmp_path: Path) -> None:
    task = gsm8k.Task(write(tmp_path / "train.jsonl", SOLVED), write(tmp_path / "test.jsonl", SOLVED))
    [example] = task.train()
    assert task.eval() == [example]
    assert question_of(example).startswith("48 clips, then half as many?\n\n")
    assert "Answer: N" in question_of(example)
    assert example.answer == "1072"
    solution = "She sold 48/2 = 24 in May.\nThat makes $1,072.\nAnswer: 1072"
    assert task.gold_completion(example) == solution
    assert list(islice(task.demonstrations(), 3)) == [(example, solution)] * 3
    assert [graded(task, example, text) for text in (solution, "I think 1072.", "Answer: 24")] == [
        1.0,
        1.0,
        0.0,
    ]


@pytest.mark.parametrize("answer", [None, 24, "no mark"])
def test_gsm8k_needs_gold_answers(tmp_path: Path, answer: Any) -> None:
    path = write(tmp_path / "train.jsonl", SOLVED, {"question": "?", "answer": answer})
    for task in (gsm8k.Task(path), gsm8k_calculator.Task(path)):
        with pytest.raises(
            UserError, match=r"train.jsonl, row 2, column 'answer': no gold answer after ####"
        ):
            task.train()


def test_gsm8k_s_gold_answer_must_not_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", {"question": "?", "answer": "so #### "})
    with pytest.raises(UserError, match=r"train.jsonl, row 1, column 'gold': the answer is missing"):
        gsm8k.Task(path).train()


def test_calculator_annotations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dapo")
    train = "<<48/2=24>> <<1/4=.25>> <<48/2=24.0>> <<10/3=3.33>> <<6//2=3>> <<1/0=1>> <<3/4=3/4>> #### 1"
    test = "<<48/2=24>> <<7*7=49>> <<7*7=50>> #### 1"
    task = gsm8k_calculator.Task(
        write(tmp_path / "train.jsonl", {"question": "?", "answer": train}),
        write(tmp_path / "test.jsonl", {"question": "?", "answer": test}),
    )
    assert [(question_of(e), e.answer) for e in task.train()] == [
        *(("48/2=?\n", "24"), ("1/4=?\n", "0.25"), ("3/4=?\n", "0.75"))
    ]
    assert (
        "train split: 3 expressions; left out: 1 repeated, 1 with a wrong value, 2 malformed" in caplog.text
    )
    [held_out] = task.eval()
    assert (question_of(held_out), held_out.answer) == ("7*7=?\n", "49")
    assert "1 of 2 test expressions stand in the train split" in caplog.text
    texts = (task.gold_completion(held_out), "Answer: 49.0", "49", "Answer: 50")
    assert [graded(task, held_out, text) for text in texts] == [1.0, 1.0, 0.0, 0.0]
    examples = [example.id for example in task.train()]
    assert sorted(example.id for example, _ in islice(task.demonstrations(), 3)) == sorted(examples)


def test_templates_of_tasks_are_checked_when_the_task_is_made() -> None:
    for make in (gsm8k.Task, gsm8k_calculator.Task):
        with pytest.raises(ValueError, match=r"prompt_template must hold \{prompt\}"):
            make(prompt_template="What?")


# --- DAPO-Math-17k and AIME


def test_the_wrapper_is_added_where_it_is_missing() -> None:
    wrapped = dapo_math.PREFIX + "1+1?" + dapo_math.SUFFIX
    assert wrapped == (
        "Solve the following math problem step by step. The last line of your response should be of the form "
        "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n1+1?\n\n"
        'Remember to put your answer on its own line after "Answer:".'
    )
    texts = ("1+1?", wrapped, dapo_math.PREFIX + "1+1?", "1+1?" + dapo_math.SUFFIX)
    assert {dapo_math.wrap(text) for text in texts} == {wrapped}


def test_dapo_math_wraps_and_repairs(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", problem("\frac{1}{2} and \ffirst?"))
    [repaired] = dapo_math.Task(path).train()
    [raw] = dapo_math.Task(path, repair_fractions=False).train()
    assert question_of(repaired) == dapo_math.wrap("\\frac{1}{2} and \ffirst?")
    assert question_of(raw) == dapo_math.wrap("\frac{1}{2} and \ffirst?")
    assert dapo_math.Task(path).eval() == []


def test_aime_keeps_the_repeats_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *[problem(text, "033") for text in ("a?", "b?") for _ in range(3)])
    first, *copies, second, _, _ = aime.Task(2024, path).eval()
    assert copies == [first] * 2
    assert (question_of(first), question_of(second)) == (dapo_math.wrap("a?"), dapo_math.wrap("b?"))
    assert first.answer == "33"


@pytest.mark.parametrize("answer", ["1000", "-1", "5.0", "x", "\N{SUPERSCRIPT TWO}"])
def test_aime_s_answers_are_integers_of_three_digits(tmp_path: Path, answer: str) -> None:
    path = write(tmp_path / "x.jsonl", {"problem": "a?", "answer": 5}, {"problem": "b?", "answer": answer})
    with pytest.raises(UserError, match=r"x.jsonl, row 2: the answer '.*' is no integer from 0 to 999"):
        aime.Task(2024, path).eval()


def test_nobody_trains_on_aime() -> None:
    with pytest.raises(
        UserError, match="aime is for evaluation only; train on another task, such as dapo_math"
    ):
        aime.Task().train()


# --- one's own files and datasets


def sum_of(number: int) -> dict[str, Any]:
    return {"question": f"{number}+{number}?", "sum": 2 * number}


def test_a_file_with_its_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *map(sum_of, range(10)))
    other = write(tmp_path / "b.jsonl", sum_of(99))
    task = file.Task(
        path=path, eval_path=other, prompt="question", answer="sum", prompt_template="Q: {prompt}"
    )
    assert [question_of(example) for example in task.train()][:2] == ["Q: 0+0?", "Q: 1+1?"]
    assert [example.answer for example in task.eval()] == ["198"]
    assert file.Task(path=path, prompt="question", answer="sum").eval() == []
    assert len(file.Task(path=(path, other), prompt="question", answer="sum").train()) == 11


def test_a_part_of_a_file_can_be_held_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *map(sum_of, range(10)))
    task = file.Task(path=path, prompt="question", answer="sum", eval_fraction=0.25)
    train, held_out = task.train(), task.eval()
    assert (len(train), len(held_out)) == (7, 3)
    assert {example.id for example in train}.isdisjoint(example.id for example in held_out)


def test_rows_of_a_file_are_graded_by_source_and_exactly_otherwise(tmp_path: Path) -> None:
    task = file.Task(
        path=write(tmp_path / "a.jsonl", problem("1+4?"), {**problem("1+4 ?"), "data_source": "own"})
    )
    by_dapo, exactly = task.train()
    assert [graded(task, example, "Answer: $5$") for example in (by_dapo, exactly)] == [1.0, 0.0]
    assert [graded(task, example, task.gold_completion(example)) for example in (by_dapo, exactly)] == [
        1.0,
        1.0,
    ]


def test_gold_answers_of_several_lines_are_right(tmp_path: Path) -> None:
    task = file.Task(path=write(tmp_path / "a.jsonl", {"prompt": "?", "answer": "New\n York"}))
    [example] = task.train()
    assert graded(task, example, task.gold_completion(example)) == 1.0


def test_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "owner" / "sums"
    write(folder / "train.jsonl", *map(sum_of, range(10)))
    write(folder / "test.jsonl", sum_of(99))
    settings: dict[str, Any] = {"name": str(folder), "prompt": "question", "answer": "sum"}
    task = hub.Task(**settings, eval_split="test")
    assert (len(task.train()), [example.answer for example in task.eval()]) == (10, ["198"])
    assert len(hub.Task(**settings, eval_fraction=0.1).train()) == 9
    assert hub.Task(**settings).eval() == []


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_shares_that_are_none(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"eval_fraction must lie between 0 and 1"):
        file.Task(path="x.jsonl", eval_fraction=fraction)


def test_evaluation_data_is_named_once() -> None:
    with pytest.raises(ValueError, match="eval_path and eval_fraction exclude each other"):
        file.Task(path="x.jsonl", eval_path="y.jsonl", eval_fraction=0.1)
    with pytest.raises(ValueError, match="eval_split and eval_fraction exclude each other"):
        hub.Task(name="x/y", eval_split="test", eval_fraction=0.1)


# --- what every file of the two folders holds


def modules(package: Any) -> list[Any]:
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


@pytest.mark.parametrize("module", modules(dapo.tasks), ids=lambda module: module.__name__)
def test_a_file_is_a_task(module: Any) -> None:
    TypeAdapter(module.Task)  # Settings that a recipe can be read into.
    for method in ("train", "eval", "gold_completion"):
        assert callable(getattr(module.Task, method))
    assert isinstance(module.Task.reward, property)


@pytest.mark.parametrize("module", modules(dapo.rewards), ids=lambda module: module.__name__)
def test_a_file_is_a_reward(module: Any) -> None:
    reward = TypeAdapter(module.Reward).validate_python({})
    assert module.Reward.name == module.__name__.rpartition(".")[2]
    assert reward(Completion([], [], [], [], "eos", "Answer: 7"), Example("x", [], "7")).score == 1


def test_default_rewards() -> None:
    assert gsm8k.Task().reward == number.Reward()
    assert gsm8k_calculator.Task().reward == number.Reward(require_marker=True)
    assert file.Task(path="x.jsonl").reward == by_source.Reward()

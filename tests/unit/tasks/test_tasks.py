from __future__ import annotations

import importlib
import json
import logging
import pkgutil
from dataclasses import is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import dapo.rewards
import dapo.tasks
from dapo.errors import UserError
from dapo.grading.adapt import as_reward
from dapo.rewards import mixed, number
from dapo.tasks import (
    aime,
    countdown,
    dapo_math,
    file,
    gsm8k,
    gsm8k_calculator,
    hub,
    math500,
    multiple_choice,
    rag_qa,
)
from dapo.types import Completion, Example


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def graded(task: Any, example: Example, text: str) -> float:
    return as_reward(task.reward)(Completion([], [], [], [], "eos", text), example).score


def problem(text: str, answer: str = "5") -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"role": "user", "content": text}],
        "reward_model": {"ground_truth": answer},
    }


def question_of(example: Example) -> str:
    return str(example.messages[-1]["content"])


# --- Countdown


def test_countdown_s_own_solutions_are_right() -> None:
    task = countdown.Task(train_size=300, eval_size=40)
    train, held_out = task.train(), task.eval()
    assert (len(train), len(held_out)) == (300, 40)
    assert {example.id for example in train}.isdisjoint(example.id for example in held_out)
    assert {len(example.columns["nums"]) for example in train} == {3, 4}
    for example in [*train, *held_out]:
        assert graded(task, example, task.gold_completion(example)) == 1.0
        assert f"Using the numbers [{', '.join(map(str, example.columns['nums']))}]" in question_of(example)
        assert f"equals {example.answer}." in question_of(example)
    assert countdown.Task(train_size=300, eval_size=40).train() == train
    assert countdown.Task(train_size=300, eval_size=40, seed=1).train() != train
    for example, text in islice(task.demonstrations(), 5):
        assert example in train and graded(task, example, text) == 1.0


def test_countdown_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "problems.jsonl", {"nums": [44, 19, 35], "target": 98})
    task = countdown.Task(train_path=path)
    [example] = task.train()
    assert task.eval() == []
    assert graded(task, example, "<answer>44 + 19 + 35</answer>") == 1.0
    with pytest.raises(UserError, match="no solution of 44-19-35=98 is known"):
        task.gold_completion(example)
    broken = write(tmp_path / "broken.jsonl", {"nums": "44, 19", "target": 98})
    with pytest.raises(UserError, match=r"broken.jsonl, row 1: needs a column `nums`"):
        countdown.Task(train_path=broken).train()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"min_numbers": 1}, "min_numbers must be at least 2"),
        ({"largest": 12}, "too few such problems"),
        ({"prompt_template": "Reach {target}!"}, "must hold {nums}"),
    ],
)
def test_countdown_settings(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        countdown.Task(**settings)


# --- MATH-500


def test_math500_asks_for_a_box_and_compares_formulas(tmp_path: Path) -> None:
    row = {"problem": "Half of one?", "answer": "\\frac{1}{2}"}
    task = math500.Task(path=write(tmp_path / "test.jsonl", row))
    [example] = task.eval()
    assert question_of(example).startswith("Half of one?\n\n") and "\\boxed{}" in question_of(example)
    assert task.gold_completion(example) == "The answer is $\\boxed{\\frac{1}{2}}$."
    texts = [task.gold_completion(example), "So \\boxed{0.5}", "\\boxed{\\frac{2}{1}}"]
    assert [graded(task, example, text) for text in texts] == [1.0, 1.0, 0.0]
    with pytest.raises(UserError, match="math500 is for evaluation only"):
        task.train()


# --- multiple choice

CAPITAL = {"question": "What is the capital of France?", "choices": ["Lyon", "Paris", "Nice"], "answer": 1}


@pytest.mark.parametrize(
    "row",
    [
        CAPITAL,
        {**CAPITAL, "answer": "b"},
        {**CAPITAL, "answer": "paris"},
        {**CAPITAL, "choices": {"A": "Lyon", "B": "Paris", "C": "Nice", "D": None}, "answer": "B"},
        {**CAPITAL, "choices": {"label": ["1", "2", "3"], "text": ["Lyon", "Paris", "Nice"]}},
    ],
)
def test_multiple_choice_takes_options_and_answers_as_data_sets_have_them(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    task = multiple_choice.Task(path=write(tmp_path / "train.jsonl", row))
    [example] = task.train()
    assert question_of(example).startswith("What is the capital of France?\n\nA. Lyon\nB. Paris\nC. Nice\n\n")
    assert example.answer == "B"
    texts = [task.gold_completion(example), "Answer: Paris", "Answer: A", "Answer: Lyon", "Answer: D"]
    assert [graded(task, example, text) for text in texts] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert task.eval() == []


def test_multiple_choice_holds_questions_out(tmp_path: Path) -> None:
    rows = [{**CAPITAL, "question": f"Number {number}?"} for number in range(10)]
    path = write(tmp_path / "train.jsonl", *rows)
    task = multiple_choice.Task(path=path, eval_fraction=0.2)
    train, held_out = task.train(), task.eval()
    assert (len(train), len(held_out)) == (8, 2)
    assert multiple_choice.Task(path=path, eval_path=path).eval() == multiple_choice.Task(path=path).train()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            {"question": "?", "answer": "A"},
            r"row 1: there is no column 'choices'; the columns are",
        ),
        ({**CAPITAL, "answer": "Rome"}, r"row 1: the answer 'Rome' names none of the options A, B, C"),
        ({**CAPITAL, "answer": 3}, r"row 1: the answer 3 names none"),
        ({**CAPITAL, "choices": ["Paris"]}, r"row 1: there are 1 options"),
        ({**CAPITAL, "choices": "Paris"}, r"row 1: the options are a str"),
    ],
)
def test_multiple_choice_names_the_row_that_is_none(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        multiple_choice.Task(path=write(tmp_path / "train.jsonl", row)).train()


# --- questions over passages


def passages_and_questions(folder: Path, passages: int = 8) -> dict[str, str]:
    texts = [
        {"ctx_id": number, "text": f"Item {number} costs {number} pounds."} for number in range(passages)
    ]
    questions = [
        {
            "question": f"What does item {number} cost?",
            "answers": [f"{number} pounds", f"£{number}"],
            "ctx_id": number,
        }
        for number in range(passages)
    ]
    return {
        "passages": write(folder / "passages.jsonl", *texts),
        "questions": write(folder / "questions.jsonl", *questions),
    }


def test_rag_qa_puts_the_passage_among_others(tmp_path: Path) -> None:
    task = rag_qa.Task(**passages_and_questions(tmp_path), eval_fraction=0.0, passages_per_prompt=3)
    train = task.train()
    assert len(train) == 8 and task.eval() == []
    places = set()
    for item, example in enumerate(train):
        asked = question_of(example)
        assert [f"[{place}] Item" in asked for place in (1, 2, 3, 4)] == [True, True, True, False]
        assert f"Item {item} costs {item} pounds." in asked
        assert asked.endswith(f"Question: What does item {item} cost?")
        places.add(next(place for place in (1, 2, 3) if f"[{place}] Item {item} " in asked))
        texts = [task.gold_completion(example), f"Answer: £{item}", "Answer: nothing", f"{item} pounds"]
        assert [graded(task, example, text) for text in texts] == [1.0, 1.0, 0.0, 0.0]
    assert places == {1, 2, 3}
    again = rag_qa.Task(**passages_and_questions(tmp_path), eval_fraction=0.0, passages_per_prompt=3)
    assert again.train() == train


def test_rag_qa_holds_out_whole_passages(tmp_path: Path) -> None:
    files = passages_and_questions(tmp_path, passages=200)
    task = rag_qa.Task(**files, eval_fraction=0.25)
    train, held_out = task.train(), task.eval()
    assert len(train) + len(held_out) == 200 and 30 < len(held_out) < 70
    assert {e.columns["ctx_id"] for e in train}.isdisjoint(e.columns["ctx_id"] for e in held_out)
    assert len(rag_qa.Task(**files, eval_fraction=1.0).eval()) == 200


def test_rag_qa_grades_by_the_f1_or_from_a_threshold(tmp_path: Path) -> None:
    """Of `3 pounds`, `pounds` has all of its own tokens and half of the gold's: 2 * 1 / (1 + 2)."""
    files = passages_and_questions(tmp_path)
    example = rag_qa.Task(**files, eval_fraction=0.0).train()[3]
    graded_by = [
        rag_qa.Task(**files),
        rag_qa.Task(**files, threshold=0.6),
        rag_qa.Task(**files, threshold=0.7),
    ]
    assert [graded(task, example, "Answer: pounds") for task in graded_by] == [pytest.approx(2 / 3), 1.0, 0.0]


def test_rag_qa_names_what_is_wrong(tmp_path: Path) -> None:
    files = passages_and_questions(tmp_path)
    with pytest.raises(UserError, match="holds 8 passages: lower passages_per_prompt, which is 9"):
        rag_qa.Task(**files, passages_per_prompt=9).train()
    lost = write(tmp_path / "lost.jsonl", {"question": "?", "answers": ["x"], "ctx_id": 99})
    with pytest.raises(UserError, match=r"row 1: .* has no passage with the ctx_id '99'"):
        rag_qa.Task(**{**files, "questions": lost}).train()
    for settings, problem in (
        ({"eval_fraction": 2}, "eval_fraction"),
        ({"threshold": 2.0}, "threshold"),
        ({"prompt_template": "{question}"}, "must hold {passages}"),
    ):
        with pytest.raises(ValueError, match=problem):
            rag_qa.Task(**files, **settings)


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


def test_rows_of_a_file_are_graded_by_source_and_exactly_without_one(tmp_path: Path) -> None:
    task = file.Task(
        path=write(tmp_path / "a.jsonl", problem("1+4?"), {**problem("1+4 ?"), "data_source": None})
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
    """What each one does is for its own tests to say."""
    assert is_dataclass(module.Reward) and callable(module.Reward.__call__)
    assert module.Reward.name == module.__name__.rpartition(".")[2]


def test_default_rewards() -> None:
    assert gsm8k.Task().reward == number.Reward()
    assert gsm8k_calculator.Task().reward == number.Reward(require_marker=True)
    assert file.Task(path="x.jsonl").reward == mixed.Reward()

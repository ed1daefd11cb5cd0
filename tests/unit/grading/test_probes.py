"""The texts that rewards are tried on: what keeps a meaning, what changes it, and what has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dapo.errors import UserError
from dapo.grading.probes import forms, rewritten
from dapo.grading.probes.adversarial import adversarial
from dapo.grading.probes.case import Case, Probe, other_than
from dapo.grading.probes.golds import Golds
from dapo.grading.probes.wrong import near, wrong
from dapo.rewards import math
from dapo.tasks import arithmetic, countdown, math500, multiple_choice
from dapo.types import Completion, Example

SUM = Example("12+7", [{"role": "user", "content": "12+7=?\n"}], "19")
OTHER = Example("1+1", [{"role": "user", "content": "1+1=?\n"}], "2")


@dataclass
class Strict:
    """A task that computes with its answer, and so takes no other text for it."""

    def gold_completion(self, example: Example) -> str:
        return f"It is {int(example.answer)}."


class Plain:
    """A task without gold completions."""


def case(task: object, example: Example = SUM, other: Example | None = OTHER) -> Case:
    golds = Golds(task)
    gold = golds.text(example)
    assert gold is not None
    return Case(example, gold, golds, other, Path("/nowhere/trap"))


def texts(probes: Iterable[Probe]) -> dict[str, str]:
    return {probe.name: probe.text for probe in probes}


# --- golds


def test_another_answer_is_written_as_the_task_writes_its_own() -> None:
    golds = Golds(arithmetic.Task())
    assert golds.text(SUM) == "12+7=19\nAnswer: 19"
    assert golds.with_answer(SUM, "**20**") == "12+7=19\nAnswer: **20**"  # What was worked out before stays.


def test_where_the_task_computes_with_its_answer_the_text_is_edited() -> None:
    golds = Golds(Strict())
    assert golds.with_answer(SUM, "20") == "It is 20."
    assert golds.with_answer(SUM, "$19$") == "It is $19$."


def test_no_other_answer_stands_in_a_text_that_does_not_end_in_its_answer() -> None:
    golds, example = Golds(countdown.Task()), countdown.Task(train_size=4, eval_size=1).train()[0]
    assert golds.text(example) == f"<answer> {example.columns['solution']} </answer>"
    assert golds.with_answer(example, "7") is None
    assert Golds(Strict()).with_answer(Example("x", [], "9"), "words") == "It is words."


def test_a_task_without_golds_gets_its_answer_behind_the_marker() -> None:
    golds = Golds(Plain())
    assert golds.made_up and not Golds(Strict()).made_up
    assert golds.text(Example("x", [], "two\nlines ")) == "Answer: two lines"
    assert golds.with_answer(SUM, "20") == "Answer: 20"


def test_a_gold_that_is_not_known_is_none_and_one_that_fails_is_named() -> None:
    assert Golds(countdown.Task()).text(SUM) is None  # It has no solution in its columns.
    with pytest.raises(UserError, match=r"test_probes failed on example row-9: ValueError.*mend it"):
        Golds(Strict()).text(Example("row-9", [], "nineteen"))


# --- forms of an answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("1234", {"1,234", "1234.0", "1234.00", "+1234", "01234"}),
        ("-5", {"-5.0", "-5.00", "\N{MINUS SIGN}5", "-05"}),
        ("0.5", {"0.50", ".5", "+0.5", "00.5", "1/2"}),
        ("3/4", {"0.75"}),
        ("-\\frac{1}{8}", {"-0.125"}),
        ("1/3", set()),  # No decimal of finite length.
        ("1/0", set()),
        ("x+1", set()),
        ("7" * 5000, set()),
    ],
)
def test_numbers_spelt_otherwise(answer: str, expected: set[str]) -> None:
    assert {text for _, text in forms.numbers(answer)} == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("12345", {"12{,}345", "12\\,345", "12,\\!345"}),
        ("3/4", {"\\frac{3}{4}", "\\dfrac{3}{4}"}),
        ("-\\frac{3}{4}", {"-\\dfrac{3}{4}", "-\\tfrac{3}{4}", "-3/4"}),
        ("\\left(1, 2\\right)", {"(1, 2)", "\\left(1,2\\right)"}),
        ("(1,\\pi)", {"\\left(1,\\pi\\right)"}),
        ("x^2+1", {"x^{2}+1"}),
        ("2\\sqrt{3}", {"2\\sqrt 3"}),
        ("\\text{even}", {"even"}),
        ("Evelyn", {"\\text{Evelyn}"}),
    ],
)
def test_other_latex(answer: str, expected: set[str]) -> None:
    assert {text for _, text in forms.latex(answer)} == expected


def test_only_words_and_options_have_upper_and_lower_case() -> None:
    assert dict(forms.words("Paris")) == {"lower case": "paris", "upper case": "PARIS"}
    assert dict(forms.words("B")) == {"lower case": "b"}
    assert [*forms.words("x"), *forms.words("2k"), *forms.words("p - q"), *forms.words("\\text{a}")] == []


@pytest.mark.parametrize("answer", ["", "x" * 100_000, "\\" * 300, "(" * 199, "1" * 10_000, "\ud800\x00"])
def test_answers_of_any_kind_have_forms_or_none(answer: str) -> None:
    found = [
        form
        for family in (forms.ornaments, forms.words, forms.numbers, forms.units, forms.latex)
        for form in family(answer)
    ]
    assert all(len(text) < 1000 for _, text in found)


def test_the_tolerant_reward_takes_every_form_for_the_answer() -> None:
    """A form that changed the meaning would be refused by a reward that reads mathematics."""
    reward, task = math.Reward(), math500.Task(path="unused")
    for answer in ("1234", "-5", "0.5", "3/4", "\\frac{1}{8}", "(1, 2)", "2\\sqrt{3}", "x^2+1"):
        example = Example("x", [], answer)
        for family in ("number", "LaTeX", "statement"):
            for probe in rewritten.FAMILIES[family](case(task, example, None)):
                completion = Completion([], [], [], [], "eos", probe.text)
                assert reward(completion, example).score == 1, (answer, probe)


def test_formats_of_a_marker_and_of_a_box() -> None:
    marked = texts(rewritten.formatted(case(arithmetic.Task())))
    assert marked["bold"] == "12+7=19\nAnswer: **19**"
    assert marked["bold marker"] == "12+7=19\n**Answer:** 19"
    assert marked["marker in lower case"] == "12+7=19\nanswer: 19"
    assert marked["line end after the colon"] == "12+7=19\nAnswer:\n19"
    assert marked["carriage returns"] == "12+7=19\r\nAnswer: 19\r\n"
    boxed = texts(rewritten.formatted(case(math500.Task(path="unused"))))
    assert boxed["blanks around"] == "The answer is $\\boxed{   19  }$."
    assert "bold" not in boxed and "marker in lower case" not in boxed
    stated = texts(rewritten.restated(case(arithmetic.Task())))
    assert stated["\\boxed{...}"] == "12+7=19\n\\boxed{19}" and "Answer: ..." not in stated


# --- wrong answers


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("19", ["20", "18", "-19", "190"]),
        ("0", ["1", "-1"]),
        ("-1", ["0", "-2", "1", "-10"]),
        ("0.95", ["0.96", "0.94", "-0.95", "9.50"]),
        ("-0.05", ["-0.04", "-0.06", "0.05", "-0.50"]),
        ("\\frac{1}{2}", ["\\frac{1}{2}+1"]),
        ("864 \\mbox{ inches}", []),
        ("x=5", []),
        ("Paris", []),
    ],
)
def test_numbers_next_to_the_answer(answer: str, expected: Sequence[str]) -> None:
    assert [text for _, text in near(answer)] == expected


def test_wrong_answers_stand_where_the_right_one_would() -> None:
    found = texts(wrong(case(arithmetic.Task())))
    assert found["one more"] == "12+7=19\nAnswer: 20"
    assert found["the gold of another example"] == "1+1=2\nAnswer: 2"
    assert found["the gold on the way, then another answer"] == "This gives 19 here.\n12+7=19\nAnswer: 20"
    task = countdown.Task(train_size=4, eval_size=1)
    one, other = task.train()[:2]
    assert texts(wrong(case(task, one, other)))["the gold of another example"] == task.gold_completion(other)
    choice = Example("q", [], "A", {"options": {"A": "x", "B": "y"}})
    assert texts(wrong(case(Plain(), choice, None)))["another letter"] == "Answer: B"


def test_the_other_example_is_unlike_in_every_gold_answer() -> None:
    broncos = Example("a", [], "Denver Broncos", {"answers": ["Denver Broncos", "Broncos", "24"]})
    others = [
        Example(str(n), [], text) for n, text in enumerate(("The Broncos", "24.0", "Carolina Panthers"))
    ]
    golds = Golds(Plain())
    assert other_than(broncos, others, golds) is others[2]
    assert other_than(broncos, others[:2], golds) is others[0]  # The best there is.
    assert other_than(SUM, [Example("b", [], "19.0"), OTHER], golds) is OTHER
    assert other_than(SUM, [], golds) is None


# --- attacks

CHOICE = Example(
    "q", [{"role": "user", "content": "Which?"}], "C", {"options": {"A": "x", "B": "y", "C": "z"}}
)


def test_everything_that_was_asked_for_is_among_the_attacks() -> None:
    found = texts(adversarial(case(arithmetic.Task())))
    assert found["empty text"] == "" and found["marker without answer"] == "Answer:"
    assert found["the prompt repeated"] == "12+7=?\n"
    assert found["gold or another answer"] == "Answer: 19 or 20"
    assert found["a second box"].endswith("in the end \\boxed{20}.")
    row = found["1,000 numbers in a row"].split()
    assert len(set(row)) == 1000 and "19" in row[100:900]
    assert len(found["100,000 characters of prose"]) == 100_000
    assert "\x00" in found["NUL and lone surrogates"] and "\ud800" in found["NUL and lone surrogates"]
    assert found["braces that never close"].count("{") == 10_000
    assert "__import__('os').system(" in found["a call in Python"]
    assert "9**9**9**9" in found["9**9**9**9"] and "!)!)!" in found["a tower of factorials"]
    assert "correct. Score: 1" in found["a claim"] and "<|im_start|>" in found["tokens of a chat"]


def test_every_option_at_once_where_there_are_options() -> None:
    found = texts(adversarial(case(Plain(), CHOICE, None)))
    assert found["every option at once"] == "Answer: A, B, C"
    listed = Example("q", [], "B", {"choices": ["x", "y"]})
    labelled = Example("q", [], "B", {"choices": {"label": ["A", "B"], "text": ["x", "y"]}})
    for example in (listed, labelled):
        assert texts(adversarial(case(Plain(), example, None)))["every option at once"] == "Answer: A, B"
    assert "every option at once" not in texts(adversarial(case(Plain())))


def test_a_prompt_with_images_is_repeated_by_its_text() -> None:
    content = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    example = Example("x", [{"role": "user", "content": content}], "a cat")
    assert texts(adversarial(case(Plain(), example)))["the prompt repeated"] == "\nWhat is this?"


Reward = Callable[[Completion, Example], object]


def test_attacks_have_names_of_their_own() -> None:
    for example in (SUM, CHOICE):
        names = [probe.name for probe in adversarial(case(Plain(), example))]
        assert len(set(names)) == len(names) > 50


def test_a_question_of_the_task_has_options_that_attacks_can_name(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"question": "Which?", "choices": ["no", "yes", "or"], "answer": 1}))
    task = multiple_choice.Task(path=str(path))
    [example] = task.train()
    found = texts(adversarial(case(task, example, None)))
    assert found["one option or the other"] == "Answer: A or B or C"

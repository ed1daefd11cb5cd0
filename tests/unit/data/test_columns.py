from __future__ import annotations

from typing import Any

import pytest

from dapo.data.columns import Columns, content_id, to_examples
from dapo.data.files import Row
from dapo.errors import UserError
from dapo.types import Example


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row("data.jsonl", number, row) for number, row in enumerate(values, start=1)]


def examples(*values: dict[str, Any], **columns: Any) -> list[Example]:
    return list(to_examples(rows(*values), Columns(**columns)))


def refused(*values: dict[str, Any], **columns: Any) -> str:
    with pytest.raises(UserError) as caught:
        examples(*values, **columns)
    return str(caught.value)


VERL = {
    "data_source": "math_dapo",
    "prompt": [{"role": "user", "content": "1+1?", "name": None}],
    "reward_model": {"ground_truth": "2", "style": "rule"},
    "extra_info": {"index": 7},
}


def test_verl_s_schema_is_recognised() -> None:
    [example] = examples(VERL)
    assert example.messages == [{"role": "user", "content": "1+1?"}]
    assert example.answer == "2"
    assert example.columns == {name: VERL[name] for name in ("data_source", "reward_model", "extra_info")}


def test_prompt_and_answer_are_the_columns_otherwise() -> None:
    [example] = examples({"prompt": "1+1?", "answer": "2", "level": 3})
    assert example.messages == [{"role": "user", "content": "1+1?"}]
    assert (example.answer, example.columns) == ("2", {"answer": "2", "level": 3})


def test_columns_can_be_named_also_inside_others() -> None:
    row = {"q": {"text": "1+1?"}, "gold": {"value": 2}, "key": 17, "a.b": "dotted"}
    [example] = examples(row, prompt="q.text", answer="gold.value", id="key")
    assert (example.messages[0]["content"], example.answer, example.id) == ("1+1?", "2", "17")
    assert examples(row, prompt="q.text", answer="a.b")[0].answer == "dotted"


def test_numbers_become_the_text_a_model_writes() -> None:
    found = [examples({"prompt": "?", "answer": answer})[0].answer for answer in (204, -7, 34.0, 0.25, "034")]
    assert found == ["204", "-7", "34", "0.25", "034"]


def test_several_answers_become_a_list_in_json() -> None:
    row = {**VERL, "reward_model": {"ground_truth": {"target": ["Zürich", "Zurich"]}}}
    assert examples(row)[0].answer == '["Zürich", "Zurich"]'
    for target in ([], [1], "Zurich", None):
        row = {**VERL, "reward_model": {"ground_truth": {"target": target}}}
        assert "holds an object" in refused(row)


def test_system_message_and_template_surround_the_prompt() -> None:
    [example] = examples(
        {"prompt": "\\frac{1}{2}?", "answer": "0.5"}, system="Be brief.", prompt_template="Q: {prompt}\nA: {}"
    )
    assert example.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: \\frac{1}{2}?\nA: {}"},
    ]


def test_a_conversation_keeps_its_own_system_message_and_only_its_last_question_changes() -> None:
    turns = [("system", "Mine."), ("user", "1?"), ("assistant", "1."), ("user", "2?")]
    prompt = [{"role": role, "content": content} for role, content in turns]
    [example] = examples({"prompt": prompt, "answer": "2"}, system="Theirs.", prompt_template="<{prompt}>")
    assert [message["content"] for message in example.messages] == ["Mine.", "1?", "1.", "<2?>"]
    assert prompt[-1]["content"] == "2?"


def test_ids_depend_on_question_and_answer_alone() -> None:
    first, again, other = (
        examples({"prompt": prompt, "answer": answer, "index": index})[0].id
        for prompt, answer, index in (("1+1?", "2", 1), ("1+1?", "2", 2), ("1+1?", "3", 1))
    )
    assert first == again != other
    # A fact: ids written down by one run are looked up by another.
    assert first == content_id([{"role": "user", "content": "1+1?"}], "2") == "c80bcffe70050e0e"


def test_rows_that_say_the_same_share_one_object() -> None:
    one, two, other = examples(*({"prompt": "1+1?", "answer": "2", "level": level} for level in (1, 1, 2)))
    assert one is two
    assert other.columns["level"] == 2


PLACE = "data.jsonl, row 2"
GOOD = {"prompt": "1+1?", "answer": "2"}
NOT_AN_ANSWER = (
    "; an answer is text or a finite number "
    "(for a value inside an object name the column with a dot, as in reward_model.ground_truth)"
)
MISSING_ANSWER = f"{PLACE}, column 'answer': the answer is missing; remove the row or fill it in"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "?", "anwser": "2"},
            f"{PLACE}: there is no column 'answer'; the nearest name is 'anwser'; "
            "set `answer` to the column that holds it",
        ),
        (
            {"zzz": "?", "yyy": "2"},
            f"{PLACE}: there is no column 'prompt'; the columns are zzz, yyy; "
            "set `prompt` to the column that holds it",
        ),
        (
            {"prompt": "?", "gold": {"answer": "2"}},
            f"{PLACE}: there is no column 'answer'; the nearest name is 'gold.answer'; "
            "set `answer` to the column that holds it",
        ),
        ({"prompt": "?", "answer": None}, MISSING_ANSWER),
        ({"prompt": "?", "answer": float("nan")}, MISSING_ANSWER),
        ({"prompt": "?", "answer": ""}, MISSING_ANSWER),
        ({"prompt": "?", "answer": " \n"}, MISSING_ANSWER),
        ({"prompt": "?", "answer": ["2"]}, f"{PLACE}, column 'answer': holds a list{NOT_AN_ANSWER}"),
        ({"prompt": "?", "answer": {"x": 2}}, f"{PLACE}, column 'answer': holds an object{NOT_AN_ANSWER}"),
        ({"prompt": "?", "answer": True}, f"{PLACE}, column 'answer': holds a truth value{NOT_AN_ANSWER}"),
        ({"prompt": "?", "answer": float("inf")}, f"{PLACE}, column 'answer': holds a number{NOT_AN_ANSWER}"),
        (
            {"prompt": None, "answer": "2"},
            f"{PLACE}, column 'prompt': holds nothing; a prompt is a text or a list of messages",
        ),
        (
            {"prompt": [], "answer": "2"},
            f"{PLACE}, column 'prompt': holds nothing; a prompt is a text or a list of messages",
        ),
        (
            {"prompt": 5, "answer": "2"},
            f"{PLACE}, column 'prompt': holds a number; a prompt is a text or a list of messages",
        ),
        (
            {"prompt": " ", "answer": "2"},
            f"{PLACE}, column 'prompt': the prompt is empty; remove the row or fill it in",
        ),
        (
            {"prompt": [{"role": "user"}], "answer": "2"},
            f"{PLACE}, column 'prompt': a message must be "
            "{\"role\": text, \"content\": text}, not {'role': 'user'}",
        ),
        (
            {"prompt": [{"role": "system", "content": "x"}], "answer": "2"},
            f"{PLACE}, column 'prompt': no message has the role user; add one",
        ),
    ],
)
def test_bad_rows(row: dict[str, Any], message: str) -> None:
    assert refused(GOOD, row) == message


def test_bad_rows_of_verl_s_schema_name_verl_s_columns() -> None:
    broken = {**VERL, "reward_model": {"style": "rule"}}
    assert refused(VERL, broken).startswith(f"{PLACE}: there is no column 'reward_model.ground_truth'; ")


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "nothing"), (1.5, "a number"), ([1], "a list"), ("", "nothing")]
)
def test_bad_ids(value: Any, kind: str) -> None:
    row = {"prompt": "?", "answer": "2", "key": value}
    assert (
        refused(row, id="key")
        == f"data.jsonl, row 1, column 'key': holds {kind}; an id is text or an integer"
    )


def test_a_template_without_a_place_for_the_prompt() -> None:
    with pytest.raises(ValueError, match=r"prompt_template must hold \{prompt\}"):
        Columns(prompt_template="Solve this.")

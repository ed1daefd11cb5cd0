from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dapo.data.prepare.pipeline import PrepareSettings
from dapo.data.prepare.yuan import Line, read_list
from dapo.errors import UserError
from dapo.jobs.prepare import prepare, sources_of


def rows_file(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepared(folder: Path, text: str, **settings: Any) -> list[dict[str, Any]]:
    (folder / "list.txt").write_text(text)
    prepare(sources_of(str(folder / "list.txt")), folder / "out", PrepareSettings(**settings))
    rows: list[dict[str, Any]] = pq.read_table(folder / "out/train.parquet").to_pylist()
    return rows


def question(number: int, **more: Any) -> dict[str, Any]:
    return {"question": f"What is {number}?", "answer": number, **more}


def test_one_to_five_fields(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "a.jsonl", question(1))
    (tmp_path / "list.txt").write_text(
        f"{path}\n\n# a remark\n10 {path}\n10 a.jsonl llm_math\n10 a.jsonl None TRUE\n"
        "10 a.jsonl llm_code false 2000\n"
    )
    assert read_list(tmp_path / "list.txt") == [
        Line(path),
        Line(path, 10),
        Line(path, 10, "llm_math"),
        Line(path, 10, None, True),
        Line(path, 10, "llm_code", False, 2000.0),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("10 a.jsonl llm_math true 500 more", "line 1: 6 fields"),
        ("ten a.jsonl", "'ten' is no number of rows"),
        ("0 a.jsonl", "'0' is no number of rows"),
        ("10 b.jsonl", "there is no file b.jsonl"),
        ("10 a.jsonl llm_math yes", "thinking must be true or false"),
        ("10 a.jsonl llm_math true 0", "expect_len is a length in tokens, not '0'; leave it out"),
        ("", "the list names no file"),
    ],
)
def test_lines_that_make_no_sense_are_named(tmp_path: Path, line: str, message: str) -> None:
    rows_file(tmp_path / "a.jsonl", question(1))
    (tmp_path / "list.txt").write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read_list(tmp_path / "list.txt")


def test_what_nobody_said_stays_missing(tmp_path: Path) -> None:
    rows_file(tmp_path / "a.jsonl", question(1), question(2, expect_len=700, language="cn"))
    first, second = prepared(tmp_path, "5 a.jsonl llm_math true\n", language="keep")
    assert (first["extra_info"]["expect_len"], first["language"]) == (None, "")
    assert (second["extra_info"]["expect_len"], second["language"]) == (700.0, "cn")
    assert first["extra_info"]["enable_thinking_flag"] is True
    assert first["reward_method"] == first["data_source"] == first["ability"] == "llm_math"
    assert first["images"] == []


def test_the_row_s_own_length_goes_before_the_line_s(tmp_path: Path) -> None:
    rows_file(tmp_path / "a.jsonl", question(1), question(2, expect_len=700))
    rows = prepared(tmp_path, "5 a.jsonl llm_math true 2000\n")
    assert [row["extra_info"]["expect_len"] for row in rows] == [2000.0, 700.0]


def test_languages_are_found_by_script(tmp_path: Path) -> None:
    rows_file(
        tmp_path / "a.jsonl",
        {"question": "求 x", "answer": "1"},
        {"question": "Find x", "answer": "1"},
        {"question": "Find y", "answer": "1", "source_language": "cn"},
    )
    assert [row["language"] for row in prepared(tmp_path, "a.jsonl")] == ["cn", "en", "cn"]


def test_n_rows_are_chosen_once_and_for_all(tmp_path: Path) -> None:
    rows_file(tmp_path / "a.jsonl", *(question(number) for number in range(50)))
    chosen = [row["prompt"][0]["content"] for row in prepared(tmp_path, "20 a.jsonl llm_math\n")]
    assert len(set(chosen)) == 20
    (tmp_path / "again").mkdir()
    rows_file(tmp_path / "again/a.jsonl", *(question(number) for number in range(50)))
    assert [row["prompt"][0]["content"] for row in prepared(tmp_path / "again", "20 a.jsonl None")] == chosen


def test_too_few_rows_are_not_repeated_and_the_card_says_so(tmp_path: Path) -> None:
    rows_file(tmp_path / "a.jsonl", question(1))
    assert len(prepared(tmp_path, "100 a.jsonl llm_math\n")) == 1
    assert "100 rows were asked for; the file has 1" in (tmp_path / "out/README.md").read_text()


def test_a_question_with_and_without_thinking_is_two_rows_in_one_part(tmp_path: Path) -> None:
    rows_file(tmp_path / "a.jsonl", question(1))
    rows_file(tmp_path / "b.jsonl", question(1))
    rows = prepared(tmp_path, "1 a.jsonl llm_math true\n1 b.jsonl llm_math false\n")
    assert [row["extra_info"]["enable_thinking_flag"] for row in rows] == [True, False]


def test_line_breaks_sql_fields_and_answers_that_are_objects(tmp_path: Path) -> None:
    rows_file(
        tmp_path / "a.jsonl",
        {
            "yuan_input": "Schema<n>Query?",
            "question": "Query?",
            "answer": {"sql": "SELECT 1"},
            "db_id": "shop",
            "question_id": "12",
            "table": ["t"],
        },
    )
    [row] = prepared(tmp_path, "1 a.jsonl sql_bird true\n")
    assert row["prompt"][0]["content"] == "Schema\nQuery?"
    assert row["reward_model"]["ground_truth"] == '{"sql": "SELECT 1"}'
    extra = row["extra_info"]
    assert (extra["db_id"], extra["question_id"], extra["table"]) == ("shop", 12, '["t"]')


def test_images_are_put_in_with_a_mark_each(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"images/{name}.png").write_bytes(name.encode())
    rows_file(
        tmp_path / "a.jsonl",
        {"question": "Which?", "answer": "1", "image_path": "images/a.png"},
        {
            "question": "Which?",
            "answer": "2",
            "image_path": "x",
            "real_image_path": "['images/a.png', 'images/b.png']",
        },
        {"question": "<image> Which?", "answer": "3", "imagepath": "images/b.png"},
        {"question": "Which now?", "answer": "3", "imagepath": "images/missing.png"},
        {"question": "Bad", "answer": "3", "imagepath": "[__import__('os').system('exit 1')]"},
    )
    rows = prepared(tmp_path, "9 a.jsonl mllm_normal false\n")
    assert [row["prompt"][0]["content"] for row in rows] == [
        "<image>Which?",
        "<image><image>Which?",
        "<image> Which?",
    ]
    assert [[image["bytes"] for image in row["images"]] for row in rows] == [[b"a"], [b"a", b"b"], [b"b"]]
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert card["rows"]["dropped"] == {"an image cannot be read (No such file or directory)": 2}


def test_prepared_rows_of_yuan_lose_the_zero_that_means_nothing(tmp_path: Path) -> None:
    row = {
        "reward_method": "llm_math",
        "prompt": [{"role": "user", "content": "1+1?"}],
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": {"enable_thinking_flag": True, "expect_len": 0.0, "answer": "2"},
    }
    path = rows_file(tmp_path / "a.jsonl", row)
    prepare(sources_of(str(path)), tmp_path / "out", PrepareSettings())
    [found] = pq.read_table(tmp_path / "out/train.parquet").to_pylist()
    assert (found["reward_method"], found["extra_info"]["expect_len"]) == ("llm_math", None)

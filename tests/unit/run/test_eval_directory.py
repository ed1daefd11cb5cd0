"""An evaluation's directory: what is written is not lost, and what is damaged is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.run.eval_directory import EvalDirectory, free_path, read_summary
from dapo.run.eval_records import EvalRecord, by_prompt, read_records

ASKED: dict[str, Any] = {"model": "m", "completions": 2, "seed": 0, "stop": ()}
NASTY = "a\nb\u2028c\x85d\x00e\ud800f</script>"


def group(name: str, text: str = "x", size: int = 2) -> list[EvalRecord]:
    return [
        EvalRecord(name, index, "s", [{"role": "user", "content": "?"}], "4", text, "eos", 3, None, 0.0, None)
        for index in range(size)
    ]


def test_prompts_that_are_done_are_found_again(tmp_path: Path) -> None:
    with EvalDirectory(tmp_path / "e", ASKED) as directory:
        assert directory.done == {}
        directory.add(group("a", NASTY))
        directory.add(group("b"))
    with EvalDirectory(tmp_path / "e", ASKED) as directory:
        assert list(directory.done) == ["a", "b"]
        assert directory.done["b"] == group("b")
        [text] = {record.completion for record in directory.done["a"]}
        assert text == NASTY
        assert read_summary(directory.path) == {"asked": {**ASKED, "stop": []}, "finished": False}


def test_a_line_that_was_cut_short_costs_its_own_prompt_only(tmp_path: Path) -> None:
    """At every byte of the last prompt's two lines."""
    with EvalDirectory(tmp_path, ASKED) as directory:
        directory.add(group("a"))
        before = len((tmp_path / "completions.jsonl").read_bytes())
        directory.add(group("b"))
    whole = (tmp_path / "completions.jsonl").read_bytes()
    for size in (before, before + 1, (before + len(whole)) // 2, before + 120, len(whole) - 1):
        (tmp_path / "completions.jsonl").write_bytes(whole[:size])
        with EvalDirectory(tmp_path, ASKED) as directory:
            assert list(directory.done) == ["a"]
            directory.add(group("b"))
        assert (tmp_path / "completions.jsonl").read_bytes() == whole


def test_finishing_puts_the_completions_in_order(tmp_path: Path) -> None:
    with EvalDirectory(tmp_path, ASKED) as directory:
        directory.add(group("b"))
        directory.add(group("a"))
        directory.finish([*group("a"), *group("b")], {"metrics": {"x": float("nan")}}, ["<html>"])
    assert [records[0].id for records in by_prompt(read_records(tmp_path / "completions.jsonl"))] == [
        "a",
        "b",
    ]
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert (summary["finished"], summary["metrics"]) == (True, {"x": None})
    assert (tmp_path / "completions.html").read_text() == "<html>"


def test_another_evaluation_is_not_written_over(tmp_path: Path) -> None:
    with EvalDirectory(tmp_path, ASKED) as directory:
        directory.add(group("a"))
    other = {**ASKED, "seed": 1, "top_p": 0.7}
    with pytest.raises(UserError, match=r"seed 0 there, 1 here; top_p None there, 0.7 here.*--fresh"):
        EvalDirectory(tmp_path, other)
    with EvalDirectory(tmp_path, other, fresh=True) as directory:
        assert directory.done == {}
    assert (tmp_path / "completions.jsonl").read_text() == ""


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not empty and holds no evaluation"):
        EvalDirectory(tmp_path, ASKED)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["thesis.tex"]


def test_two_processes_do_not_share_one(tmp_path: Path) -> None:
    with EvalDirectory(tmp_path, ASKED), pytest.raises(UserError, match="another process writes"):
        EvalDirectory(tmp_path, ASKED)
    EvalDirectory(tmp_path, ASKED).close()


def test_a_place_of_its_own_for_each_evaluation(tmp_path: Path) -> None:
    stem = tmp_path / "m-gsm8k"
    other = {**ASKED, "seed": 1}
    assert free_path(stem, ASKED) == stem
    EvalDirectory(stem, ASKED).close()
    assert free_path(stem, ASKED) == stem
    second = free_path(stem, other)
    assert second.name == "m-gsm8k-2"
    EvalDirectory(second, other).close()
    assert (free_path(stem, other), free_path(stem, ASKED)) == (second, stem)
    stem.with_name("m-gsm8k-3").write_text("a file in the way")
    assert free_path(stem, {**ASKED, "seed": 2}).name == "m-gsm8k-4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a"}\n', r"line 1: no completion of an evaluation \(KeyError: 'index'\)"),
        ("[]\n", "line 1: no completion"),
        ("{\n", "line 1: no completion"),
        ('"x"\n', "line 1: no completion"),
        ('{"id": "a"', "last line is cut short"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "completions.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_records(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_records(tmp_path / "x.jsonl")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_summary_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"metrics.json is damaged"):
        read_summary(tmp_path)

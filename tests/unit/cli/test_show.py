"""Completions in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from dapo.cli.show import ShowOptions, run, visible
from dapo.errors import UserError
from dapo.run.eval_records import EvalRecord, lines_of

PROMPT = [{"role": "user", "content": "1+1?"}]
RECORDS = [
    EvalRecord("a", 0, "", PROMPT, "2", "[bold]two[/bold] \x1b[2J\u202e", "eos", 1200, "two", 1.0, None),
    EvalRecord("a", 1, "", PROMPT, "2", "three", "length", 4, None, 0.0, None),
    EvalRecord("b", 0, "", PROMPT, "2", "four", "eos", 4, None, 0.0, "it raised"),
]


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    (tmp_path / "completions.jsonl").write_text("".join(lines_of(RECORDS)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (ShowOptions(), "two three four"),
        (ShowOptions(right=True), "two"),
        (ShowOptions(wrong=True), "three four"),
        (ShowOptions(wrong=True, truncated=True), "three"),
        (ShowOptions(no_answer=True), "three"),
        (ShowOptions(ungraded=True), "four"),
        (ShowOptions(id="b"), "four"),
        (ShowOptions(text="thr"), "three"),
        (ShowOptions(most=1), "two"),
        (ShowOptions(right=True, ungraded=True), ""),
    ],
)
def test_conditions(
    evaluation: Path, capsys: pytest.CaptureFixture[str], options: ShowOptions, shown: str
) -> None:
    run(evaluation, options)
    text = capsys.readouterr().out
    assert [word for word in ("two", "three", "four") if f"{word}\n" in text or f"]{word}[" in text] == (
        shown.split()
    )


def test_a_model_gives_the_terminal_no_orders(evaluation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(evaluation / "completions.jsonl", ShowOptions())
    text = capsys.readouterr().out
    assert "[bold]two[/bold] \\x1b[2J\\u202e" in text
    assert "#1 right  score 1, answer two, 1,200 tokens" in text
    assert "#2 wrong  score 0, no answer found, 4 tokens, cut at its limit" in text
    assert "not graded: it raised" in text
    assert text.count("1+1?") == 2  # once for each prompt
    assert "3 of 3 completions of 2 prompts shown" in text


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert visible("a\tb\nc\rd\x00\x9b\u2066\ud800\N{SNOWMAN}") == (
        "a\tb\nc\\rd\\x00\\x9b\\u2066\\ud800\N{SNOWMAN}"
    )


def test_a_directory_without_completions_is_told_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name the directory of an evaluation"):
        run(tmp_path, ShowOptions())
    (tmp_path / "rollouts").mkdir()
    for name in ("step_000001.jsonl", "step_000002.jsonl"):
        (tmp_path / "rollouts" / name).write_text("".join(lines_of(RECORDS)), encoding="utf-8")
    with pytest.raises(UserError, match=r"name a file of its rollouts/, such as .*step_000002\.jsonl"):
        run(tmp_path, ShowOptions())

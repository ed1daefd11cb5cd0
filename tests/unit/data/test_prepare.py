from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dapo.data.columns import Columns
from dapo.data.prepare.pipeline import PrepareSettings
from dapo.errors import UserError
from dapo.jobs.prepare import prepare, sources_of
from dapo.tasks import dapo_math, file


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def verl(text: str, answer: str | None = "1", **more: Any) -> dict[str, Any]:
    prompt = [{"role": "user", "content": text}]
    return {"prompt": prompt, "reward_model": {"ground_truth": answer, "style": "rule"}, **more}


def prepared(path: Path, *specs: str, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of train.parquet, and the card."""
    against = settings.pop("against", ())
    sources = [source for spec in specs for source in sources_of(spec)]
    _, card = prepare(sources, path / "out", PrepareSettings(**settings), against)
    assert card == json.loads((path / "out/card.json").read_text())
    return pq.read_table(path / "out/train.parquet").to_pylist(), card


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["prompt"][-1]["content"] for row in rows]


def test_rows_are_counted_at_every_stage(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        verl("one?"),
        verl("two?", "2"),
        verl("one ?"),
        verl("three?", "3"),
        verl("three?", "4"),
        verl("no gold?", None),
        verl("", "5"),
    )
    rows, card = prepared(tmp_path, path)
    assert texts(rows) == ["one?", "two?"]
    assert card["rows"] == {
        "read": 7,
        "prompts": 3,
        "dropped": {
            "column 'reward_model.ground_truth': the answer is missing": 1,
            "column 'prompt': the prompt is empty": 1,
            "repeated": 1,
            "conflicting answers": 2,
        },
        "written": {"train": 2},
    }
    assert card["dropped_examples"]["column 'prompt': the prompt is empty"] == [f"{path}, row 7"]
    assert card["sources"][0]["files"] == [
        {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    ]
    assert (
        card["files"][0]["sha256"]
        == hashlib.sha256((tmp_path / "out/train.parquet").read_bytes()).hexdigest()
    )
    [conflict] = [json.loads(line) for line in (tmp_path / "out/conflicts.jsonl").read_text().splitlines()]
    assert [(answer["answer"], answer["first"]) for answer in conflict["answers"]] == [
        ("3", f"{path}, row 4"),
        ("4", f"{path}, row 5"),
    ]
    assert "| read | 7 |" in (tmp_path / "out/README.md").read_text()


def test_the_majority_keeps_its_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", verl("x?", "3"), verl("x?", "4"), verl("x?", "4"), verl("y?", "5"))
    rows, card = prepared(tmp_path, path, conflicts="majority")
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["4", "5"]
    assert card["rows"]["dropped"] == {"repeated": 1, "conflicting answers": 1}
    assert card["conflicts"] == {"prompts": 1, "kept": 1, "policy": "majority"}


def test_a_repaired_copy_is_a_copy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", verl("\frac{1}{2}?"), verl(r"\frac{1}{2}?"), verl("\fi?", "2"))
    rows, card = prepared(tmp_path, path)
    assert texts(rows) == [r"\frac{1}{2}?", "\fi?"]
    assert card["repairs"] == {
        "rows": 1,
        "commands": {"\\frac": 1},
        "rows_with_control_characters_left": 1,
        "control_characters_left": {"U+000C": 1},
    }


def test_repairs_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", verl("\frac{1}{2}?"), verl(r"\frac{1}{2}?"))
    rows, card = prepared(tmp_path, path, repair=False)
    assert texts(rows) == ["\frac{1}{2}?", r"\frac{1}{2}?"]
    assert card["repairs"]["rows"] == 0


def test_the_split_stays_when_rows_are_added(tmp_path: Path) -> None:
    questions = [verl(f"What is {number}?", str(number)) for number in range(200)]
    both = {}
    for name, rows in (("few", questions[:120]), ("many", questions[::-1])):
        folder = tmp_path / name
        folder.mkdir()
        train, card = prepared(folder, write(folder / "a.jsonl", *rows), held_out=0.2)
        apart = pq.read_table(folder / "out/held_out.parquet").to_pylist()
        assert card["rows"]["written"] == {"train": len(train), "held_out": len(apart)}
        assert {row["extra_info"]["split"] for row in apart} == {"held_out"}
        both[name] = set(texts(train)), set(texts(apart))
    assert both["few"][0] < both["many"][0] and both["few"][1] < both["many"][1]
    assert not both["many"][0] & both["many"][1]


def test_evaluation_prompts_are_found_and_dropped_on_request(tmp_path: Path) -> None:
    long = "Find the number of ways to tile a board of two by ten with dominoes"
    training = write(tmp_path / "a.jsonl", verl(f"{long}."), verl("Something else altogether?", "2"))
    against = write(tmp_path / "e.jsonl", {"problem": f"{long}!", "answer": 89})
    rows, card = prepared(tmp_path, training, against=[against])
    assert len(rows) == 2
    assert card["contamination"] == {
        "against": {against: 1},
        "rows_sharing_8_words": 1,
        "rows_contaminated": 1,
        "min_share": 0.5,
    }
    [hit] = [json.loads(line) for line in (tmp_path / "out/contamination.jsonl").read_text().splitlines()]
    assert (hit["row"], hit["share"], hit["text"]) == (f"{training}, row 1", 1.0, long.lower())
    (tmp_path / "2").mkdir()
    rows, card = prepared(tmp_path / "2", training, against=[against], contaminated="drop")
    assert texts(rows) == ["Something else altogether?"]
    assert card["rows"]["dropped"] == {"shares text with an evaluation set": 1}


def test_languages_and_rows_that_name_theirs(tmp_path: Path) -> None:
    rows = [verl("How many?"), verl("多少?", "2"), verl("1+1?", "2"), verl("Warum?", "3", language="de")]
    path = write(tmp_path / "a.jsonl", *rows)
    assert [row["language"] for row in prepared(tmp_path, path)[0]] == ["en", "cn", "", "de"]
    (tmp_path / "2").mkdir()
    assert [row["language"] for row in prepared(tmp_path / "2", path, language="keep")[0]] == [
        "",
        "",
        "",
        "de",
    ]


def test_named_data_sets_get_their_instructions_and_golds(tmp_path: Path) -> None:
    gsm8k = write(tmp_path / "g.jsonl", {"question": "Two and two?", "answer": "2+2=<<2+2=4>>4\n#### 1,004"})
    math = write(tmp_path / "m.jsonl", {"problem": "Half?", "solution": r"It is $\boxed{\frac{1}{2}}$."})
    dapo = write(tmp_path / "d.jsonl", verl("One?", "7", data_source="math_dapo"))
    aime = write(tmp_path / "a.jsonl", {"problem": "Many?", "answer": 33})
    rows, _ = prepared(
        tmp_path, f"gsm8k={gsm8k}", f"math={math}", f"dapo-math-17k={dapo}", f"aime-2024={aime}"
    )
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["1004", r"\frac{1}{2}", "7", "33"]
    assert [row["data_source"] for row in rows] == [
        "openai/gsm8k",
        "DigitalLearningGmbH/MATH-lighteval",
        "math_dapo",
        "aime2024",
    ]
    assert texts(rows)[2] == f"{dapo_math.PREFIX}One?{dapo_math.SUFFIX}"
    assert texts(rows)[0].startswith("Two and two?\n\nThink step by step.")
    assert [row["extra_info"]["question"] for row in rows] == ["Two and two?", "Half?", "One?", "Many?"]
    assert rows[0]["extra_info"]["answer"].endswith("#### 1,004")


def test_the_file_task_reads_what_comes_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", verl("1+1?", "2", data_source="math_dapo"), verl("2+2?", "4"))
    prepared(tmp_path, path)
    examples = file.Task(path=str(tmp_path / "out/train.parquet")).train()
    assert [(example.messages, example.answer) for example in examples] == [
        ([{"role": "user", "content": "1+1?"}], "2"),
        ([{"role": "user", "content": "2+2?"}], "4"),
    ]
    assert examples[0].columns["data_source"] == "math_dapo"


def test_columns_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"q": "1+1?", "a": 2})
    prepare(sources_of(path, Columns(prompt="q", answer="a")), tmp_path / "out", PrepareSettings())
    [row] = pq.read_table(tmp_path / "out/train.parquet").to_pylist()
    assert (texts([row]), row["reward_model"]["ground_truth"]) == (["1+1?"], "2")


def test_errors_name_the_fix_and_leave_nothing(tmp_path: Path) -> None:
    def refused(*specs: str, **settings: Any) -> str:
        with pytest.raises(UserError) as caught:
            prepared(tmp_path, *specs, **settings)
        return str(caught.value)

    good = write(tmp_path / "a.jsonl", verl("1?"))
    assert "is no source of data: give one of dapo-math-17k" in refused("dapo")
    assert "there is no column 'prompt'" in refused(write(tmp_path / "b.jsonl", {"q": "x", "answer": 1}))
    assert "is given twice" in refused(good, good)
    both = write(tmp_path / "c.jsonl", verl("1?", "1"), verl("1?", "2"))
    assert refused(both) == "no row is left to train on: 2 conflicting answers"
    assert not any((tmp_path / "out").iterdir())
    prepared(tmp_path, good)
    assert "is not an empty folder" in refused(good)


@pytest.mark.parametrize(("name", "value"), [("held_out", 1.0), ("held_out", -0.1), ("min_share", 0.0)])
def test_settings_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        PrepareSettings(**{name: value})

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dapo.data.files import Row, read_rows
from dapo.data.hub import read_hub
from dapo.errors import UserError

ROWS = [{"prompt": "1+1?", "answer": 2}, {"prompt": 'a, b\n"c" é', "answer": 3}]


def write(directory: Path, name: str, content: str | bytes) -> str:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refused(path: str) -> str:
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    return str(caught.value)


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    write(tmp_path, "x.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    write(tmp_path, "x.json", json.dumps(ROWS))
    write(tmp_path, "x.csv", 'prompt,answer\n1+1?,2\n"a, b\n""c"" é",3\n')
    for suffix, answers in (("parquet", [2, 3]), ("jsonl", [2, 3]), ("json", [2, 3]), ("csv", ["2", "3"])):
        path = str(tmp_path / f"x.{suffix}")
        expected = [{**row, "answer": answer} for row, answer in zip(ROWS, answers, strict=True)]
        assert list(read_rows(path)) == [Row(path, 1, expected[0]), Row(path, 2, expected[1])], suffix


def test_several_files_one_after_the_other(tmp_path: Path) -> None:
    first = write(tmp_path, "a.jsonl", '{"x": 1}\n')
    second = write(tmp_path, "b.JSON", '[{"x": 2}]')
    assert [row.place for row in read_rows((first, second))] == [f"{first}, row 1", f"{second}, row 1"]
    assert list(read_rows(Path(second))) == list(read_rows(second))


def test_blank_lines_of_jsonl_count_as_lines_and_a_byte_order_mark_as_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", '\ufeff{"x": 1}\n\n{"x": 2}\n\n')
    assert [(row.number, dict(row.values)) for row in read_rows(path)] == [(1, {"x": 1}), (3, {"x": 2})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", "", "{path}: the file holds no rows; give a file with at least one"),
        ("x.jsonl", "\n \n", "{path}: the file holds no rows; give a file with at least one"),
        ("x.json", "", "{path}: the file holds no rows; give a file with at least one"),
        ("x.json", "[]", "{path}: the file holds no rows; give a file with at least one"),
        ("x.csv", "prompt,answer\n", "{path}: the file holds no rows; give a file with at least one"),
        (
            "x.jsonl",
            '{"x": 1}\n{"x": 1,}\n',
            "{path}, row 2: not valid JSON at character 9 (Illegal trailing comma before end of object); "
            "each line must hold one complete JSON object",
        ),
        (
            "x.jsonl",
            '{"x": 1}\n[1]\n',
            '{path}, row 2: holds a list, not a JSON object; write {{"column": value, ...}}',
        ),
        (
            "x.jsonl",
            "3\n",
            '{path}, row 1: holds a number, not a JSON object; write {{"column": value, ...}}',
        ),
        (
            "x.json",
            '[{"x": 1},\n{"x" 2}]',
            "{path}: not valid JSON at line 2, column 6 (Expecting ':' delimiter); "
            "a file with one object per line must be named .jsonl",
        ),
        ("x.json", '{"x": 1}', "{path}: holds an object, not a list of rows; write [{{...}}, {{...}}]"),
        (
            "x.json",
            "[null]",
            '{path}, row 1: holds nothing, not a JSON object; write {{"column": value, ...}}',
        ),
        (
            "x.csv",
            "prompt,answer\n1+1?,2\n1+2?,3,really\n",
            "{path}, row 2: does not have the 2 cells of the header; "
            "put quotes around cells that hold commas or line breaks",
        ),
        (
            "x.csv",
            "prompt,answer\n1+1?\n",
            "{path}, row 1: does not have the 2 cells of the header; "
            "put quotes around cells that hold commas or line breaks",
        ),
        (
            "x.csv",
            'prompt,answer\n1+1?,2\n"1+2,3\n',
            "{path}, row 2: not valid CSV (unexpected end of data); mend the quotes",
        ),
        (
            "x.jsonl",
            b'{"x": 1}\n{"x": "\xff"}\n',
            "{path}, row 2: byte 8 is not UTF-8; save the file with UTF-8 encoding",
        ),
        ("x.csv", b"prompt\n\xe9\n", "{path}: byte 8 is not UTF-8; save the file with UTF-8 encoding"),
        (
            "x.txt",
            "1+1?",
            "{path}: unknown kind of data file; "
            "give a file that ends in one of .parquet, .jsonl, .json, .csv",
        ),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path, name, content)
    said = refused(path)
    if "Illegal trailing comma" in message:  # Python before 3.13 words it differently, at another character.
        assert said.startswith(f"{path}, row 2: not valid JSON at character ")
        assert said.endswith("; each line must hold one complete JSON object")
    else:
        assert said == message.format(path=path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jsonl")
    assert refused(missing) == f"{missing}: there is no such file; check the path"
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    assert refused(str(folder)) == f"{folder}: is a folder; give the files in it"
    broken = write(tmp_path, "x.parquet", b"PAR1 but no more")
    assert refused(broken).startswith(f"{broken}: not a readable parquet file (")
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "none.parquet")
    assert "none.parquet: the file holds no rows" in refused(str(tmp_path / "none.parquet"))


def test_a_good_row_before_a_bad_one_is_not_enough(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, "x.jsonl", '{"x": 1}\n{'))
    assert next(rows).values == {"x": 1}
    with pytest.raises(UserError, match="row 2"):
        next(rows)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset as `datasets.load_dataset` reads it from a folder."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "owner" / "sums"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        write(folder, f"{split}.jsonl", json.dumps({"prompt": f"{split}?", "answer": "2"}) + "\n")
    return str(folder)


def test_rows_of_a_hub_dataset(dataset: str) -> None:
    rows: list[Any] = list(read_hub(dataset, split="test"))
    assert rows == [Row(f"{dataset}/test", 1, {"prompt": "test?", "answer": "2"})]


def test_a_hub_dataset_that_cannot_be_loaded(dataset: str) -> None:
    for name, subset, split in ((dataset, None, "nowhere"), (f"{dataset}/nowhere", None, "train")):
        with pytest.raises(
            UserError, match=r"^hub dataset .*: cannot be loaded .*; check its name, subset and split"
        ):
            list(read_hub(name, subset, split))

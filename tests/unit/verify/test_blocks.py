from __future__ import annotations

import time

import pytest

from dapo.verify.blocks import Block, after_thinking, blocks_in, fenced_blocks, line_after


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no tags", "no tags"),
        ("<think>a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("<think>a</think>b<think>still", ""),
        ("<think>still", ""),
        ("", ""),
    ],
)
def test_the_answer_stands_after_the_thinking(text: str, answer: str) -> None:
    assert after_thinking(text) == answer


@pytest.mark.parametrize(
    ("text", "marker", "line"),
    [
        ("Answer: x\nAnswer:  y \nz", "Answer:", "y"),
        ("Answer:\ny", "Answer:", ""),
        ("y", "Answer:", None),
        (" y\nz ", "", "y\nz"),
    ],
)
def test_the_line_after_the_last_marker(text: str, marker: str, line: str | None) -> None:
    assert line_after(text, marker) == line


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("```sql\nSELECT 1\n```", [Block("sql", "SELECT 1", True)]),
        ("a\n```SQL\r\nSELECT 1\r\n```\r\nb", [Block("sql", "SELECT 1", True)]),
        ("The query: ```sql\nSELECT 1\n``` as asked", [Block("sql", "SELECT 1", True)]),
        ("```sql SELECT 1```", [Block("sql", " SELECT 1", True)]),
        ("```\nx```\n~~~py\ny\n~~~", [Block("", "x", True), Block("py", "y", True)]),
        ("````md\n```python\nx\n```\n````", [Block("md", "```python\nx\n```", True)]),
        ("```md\n```python\nx\n```", [Block("md", "```python\nx", True)]),
        ("  ```c++\n  x\n    y\n  ```", [Block("c++", "x\n  y", True)]),
        ("```python\nx = 1", [Block("python", "x = 1", False)]),
        ("```", [Block("", "", False)]),
        ("three ``` in prose, never\nclosed", []),
        ("no block", []),
    ],
)
def test_blocks_as_models_write_them(text: str, blocks: list[Block]) -> None:
    assert fenced_blocks(text) == blocks


def test_blocks_of_a_language() -> None:
    text = "```sql\na\n```\n```python\nb\n```\n```\nc\n```"
    assert [block.text for block in blocks_in(text, ["sql", ""])] == ["a", "c"]


@pytest.mark.parametrize("text", ["`" * 100_000, "```\n" * 50_000, "<think>" * 20_000, "``` a " * 20_000])
def test_strange_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    fenced_blocks(text)
    after_thinking(text)
    assert time.process_time() - began < 2


def test_a_tag_for_a_marker_ends_where_it_closes() -> None:
    assert line_after("<answer>no</answer> <answer>\n two\nlines </answer> more", "<answer>") == "two\nlines"
    assert line_after("<answer>never closed", "<answer>") == "never closed"
    assert line_after("none", "<answer>") is None

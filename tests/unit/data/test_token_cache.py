from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dapo.data.prompts import SourcePlan, build_sources
from dapo.data.token_cache import MIN_PROMPTS, TokenCache
from dapo.text import TextCodec
from dapo.types import Example


def codec(template: str = "plain", letters: str = "abcdef") -> TextCodec:
    vocabulary = {name: place for place, name in enumerate(["<eos>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return TextCodec(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"), template)


def ask(text: str) -> Example:
    return Example(text, [{"role": "user", "content": text}], "1")


EXAMPLES = [ask("ab"), ask("c"), ask("fed")]
TOKENS = [[1, 2], [3], [6, 5, 4]]


class Encoder:
    """Tokenizes, and counts how often it was asked to."""

    def __init__(self, codec: TextCodec, examples: list[Example]) -> None:
        self.codec, self.examples, self.count = codec, examples, 0

    def __call__(self) -> Iterator[list[int]]:
        self.count += 1
        return (self.codec.encode(example.messages) for example in self.examples)


def encoded(
    cache: TokenCache, codec: TextCodec, examples: list[Example] = EXAMPLES
) -> tuple[list[list[int]], int]:
    """The token ids, and whether they were made anew."""
    encoder = Encoder(codec, examples)
    return list(cache.encode(examples, codec, encoder)), encoder.count


def test_the_second_run_reads_what_the_first_made(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path / "cache", min_prompts=1)
    assert encoded(cache, codec()) == (TOKENS, 1)
    assert encoded(cache, codec()) == (TOKENS, 0)
    assert [file.suffix for file in cache.folder.iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("other", "examples"),
    [
        (codec("{{ messages[0].content }}b"), EXAMPLES),
        (codec(letters="bacdef"), EXAMPLES),
        (codec(), [ask("ab"), ask("c"), ask("fee")]),
        (codec(), EXAMPLES[::-1]),
        (codec(), [replace(example, columns={"enable_thinking_flag": True}) for example in EXAMPLES]),
    ],
    ids=["template", "tokenizer", "texts", "order", "thoughts"],
)
def test_anything_else_is_made_anew(tmp_path: Path, other: TextCodec, examples: list[Example]) -> None:
    cache = TokenCache(tmp_path, min_prompts=1)
    encoded(cache, codec())
    tokens, made = encoded(cache, other, examples)
    assert made == 1
    assert tokens == [other.encode(example.messages) for example in examples]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwritten(path: Path) -> None:
    path.write_bytes(b"not a parquet file at all")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed(path: Path) -> None:
    table = pq.read_table(path)
    column = pa.array([[1, 2], [3], [6, 5, 5]], pa.large_list(pa.int32()))
    pq.write_table(pa.table({"token_ids": column}).replace_schema_metadata(table.schema.metadata), path)


def of_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"tokens": [[1], [2], [3]]}), path)


@pytest.mark.parametrize("damage", [truncated, overwritten, emptied, changed, of_other_columns])
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    cache = TokenCache(tmp_path, min_prompts=1)
    encoded(cache, codec())
    [path] = tmp_path.iterdir()
    damage(path)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert encoded(cache, codec()) == (TOKENS, 1)
    assert "is damaged" in caplog.text
    assert encoded(cache, codec()) == (TOKENS, 0)


def test_a_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert encoded(TokenCache(tmp_path / "file" / "cache", min_prompts=1), codec()) == (TOKENS, 1)
    assert "set DAPO_CACHE to another folder" in caplog.text


def test_tokenizing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[list[int]]:
        yield [1]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        list(TokenCache(tmp_path, min_prompts=1).encode(EXAMPLES, codec(), failing))
    assert not list(tmp_path.iterdir())


def test_small_data_and_dated_templates_are_not_kept(tmp_path: Path) -> None:
    encoded(TokenCache(tmp_path), codec())
    dated = codec("{% if strftime_now is defined %}{% endif %}{{ messages[0].content }}")
    encoded(TokenCache(tmp_path, min_prompts=1), dated)
    assert not list(tmp_path.iterdir())


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPO_CACHE", str(tmp_path))
    assert TokenCache.of_user() == TokenCache(tmp_path / "tokens", MIN_PROMPTS)
    monkeypatch.setenv("DAPO_CACHE", "off")
    assert TokenCache.of_user() is None
    monkeypatch.delenv("DAPO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert TokenCache.of_user() == TokenCache(tmp_path / "dapo" / "tokens")


def test_sources_are_the_same_with_and_without(tmp_path: Path) -> None:
    examples = [ask("ab"), ask("abcdef"), ask("ab"), ask("c")]
    plan = SourcePlan(examples=examples, max_prompt_tokens=3, max_completion_tokens=5, overlong="left")
    cache = TokenCache(tmp_path, min_prompts=1)
    without, written, read = (build_sources([plan], codec(), kept) for kept in (None, cache, cache))
    assert without == written == read
    assert [list(prompt.token_ids) for prompt in read[0][0].prompts] == [[1, 2], [4, 5, 6], [3]]
    assert len(list(tmp_path.iterdir())) == 1


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    examples = (ask(f"{'abcdef'[number % 6]}" * (number // 6 + 1)) for number in range(2001))
    plan = SourcePlan(examples=examples, max_prompt_tokens=400, max_completion_tokens=5)
    build_sources([plan], codec(), progress=lambda *report: told.append(report))
    assert told == [
        ("reading", 1000, None),
        ("reading", 2000, None),
        ("tokenizing", 0, 2001),
        ("tokenizing", 1000, 2001),
        ("tokenizing", 2000, 2001),
    ]

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dapo.data.dedupe import deduplicate, prompt_key
from dapo.data.prompts import DataReport, SourcePlan, build_prompts, build_sources
from dapo.data.source import Source
from dapo.data.stream import PromptStream
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    """One token per character of lower-case letters; the end is token 0."""
    letters = {letter: place for place, letter in enumerate("\0abcdefghijklmnopqrstuvwxyz ")}
    tokenizer = Tokenizer(models.WordLevel({**letters, "<eos>": 30}, unk_token="z"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return TextCodec(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"), "plain")


def ask(text: str, answer: str = "1", id: str | None = None) -> Example:
    return Example(id or f"id of {text}", [{"role": "user", "content": text}], answer)


def plan(name: str, *examples: Example, **settings: Any) -> SourcePlan:
    limits = {"max_prompt_tokens": 3, "max_completion_tokens": 20, **settings}
    return SourcePlan(name=name, examples=examples, **limits)


def ids(source: Source) -> list[str]:
    return [prompt.example.id for prompt in source.prompts]


def rows_of(report: DataReport) -> int:
    return report.duplicates + report.elsewhere + report.overlong + report.kept + report.unread


def test_one_source_is_what_build_prompts_makes(codec: TextCodec) -> None:
    given = [ask("a"), ask("a", "2"), ask("abcd"), ask("b")]
    (source,), (report,) = build_sources([plan("", *given)], codec)
    assert (source.prompts, report) == build_prompts(given, codec, 3, 20)


def test_each_source_has_limits_and_a_weight_of_its_own(codec: TextCodec) -> None:
    plans = [
        plan("short", ask("a"), ask("abcd"), weight=2),
        plan("long", ask("bcdef"), max_prompt_tokens=4, max_completion_tokens=90, overlong="left"),
    ]
    sources, reports = build_sources(plans, codec)
    assert [(source.name, source.weight, ids(source)) for source in sources] == [
        ("short", 2, ["id of a"]),
        ("long", 1, ["id of bcdef"]),
    ]
    assert [source.prompts[0].max_completion_tokens for source in sources] == [20, 90]
    assert codec.decode(sources[1].prompts[0].token_ids) == "c d e f"
    assert [(report.overlong, report.truncated) for report in reports] == [(1, 0), (0, 1)]
    assert reports[1].summary().startswith("long: 1 prompts, 1 of them cut to 4 tokens, from 1 rows")


def test_a_prompt_of_two_sources_is_kept_in_the_first(codec: TextCodec) -> None:
    plans = [
        plan("first", ask("a", "1"), ask("b", "2"), ask("c", "3")),
        plan("second", ask(" a", "1"), ask("d"), ask("b", "7"), ask("b", "8"), ask("d", "9"), ask("d")),
        plan("third", ask("e"), ask("d", "9")),
    ]
    sources, reports = build_sources(plans, codec)
    assert [ids(source) for source in sources] == [
        *(["id of a", "id of b", "id of c"], ["id of d"], ["id of e"])
    ]
    assert [(report.rows, report.duplicates, report.elsewhere) for report in reports] == [
        *((3, 0, 0), (6, 2, 3), (2, 0, 1))
    ]
    assert [report.conflict_ids for report in reports] == [
        *((), ("first:id of b", "id of d"), ("second:id of d",))
    ]
    assert all(rows_of(report) == report.rows for report in reports)
    assert reports[1].summary() == (
        "second: 1 prompts from 6 rows: 2 repeated, 3 in an earlier source (2 prompts with several answers, "
        "the first kept), 0 longer than 3 tokens; the prompts kept hold 1 to 1 tokens, 1 on average"
    )


def test_a_prompt_the_first_source_cannot_use_is_left_to_the_second(codec: TextCodec) -> None:
    plans = [
        plan("short", ask("abcd"), ask("a"), ask("b"), ask("c"), limit=2),
        plan("long", ask("abcd"), ask("a"), ask("c"), max_prompt_tokens=9),
    ]
    (short, long), (_, report) = build_sources(plans, codec)
    assert (ids(short), ids(long)) == (["id of a", "id of b"], ["id of abcd", "id of c"])
    assert report.elsewhere == 1


def test_prompts_are_compared_before_they_are_cut(codec: TextCodec) -> None:
    plans = [
        plan("first", ask("abcd"), overlong="right"),
        plan("second", ask("abcd"), ask("abce"), overlong="right"),
    ]
    (_, second), _ = build_sources(plans, codec)
    assert ids(second) == ["id of abce"]


def test_copies_that_stay_are_known_by_the_first(codec: TextCodec) -> None:
    plans = [
        plan("a", ask("a", "1"), ask("a", "2"), drop_duplicates=False),
        plan("b", ask("a", "2"), ask("b")),
    ]
    (first, _), (_, report) = build_sources(plans, codec)
    assert ids(first) == ["id of a", "id of a#2"]
    assert report.conflict_ids == ("a:id of a",)


def test_ids_stay_where_no_two_sources_share_one(codec: TextCodec) -> None:
    sources, _ = build_sources([plan("one", ask("a", id="x")), plan("two", ask("b", id="y"))], codec)
    assert [ids(source) for source in sources] == [["x"], ["y"]]


def test_shared_ids_are_told_apart_by_the_name_of_the_source(codec: TextCodec) -> None:
    plans = [
        plan("one", ask("a", id="x"), ask("b", id="two:x")),
        plan("two", ask("c", id="x"), ask("d", id="y")),
    ]
    sources, _ = build_sources(plans, codec)
    assert [ids(source) for source in sources] == [["one:x", "one:two:x"], ["two:x", "two:y"]]
    stream = PromptStream(sources, seed=0)
    assert [stream.find(f"{name}:x").token_ids for name in ("one", "two")] == [[1], [3]]
    assert stream.source_of("two:x") == "two"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "3 sources share the name 'a'; give each a name of its own"),
        (["a", ""], "of several sources every one needs a name"),
        (["a:b", "c"], "source 'a:b': a name must not hold a colon"),
        ([], "there is no source of prompts"),
    ],
)
def test_names_that_do_not_tell_sources_apart(codec: TextCodec, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_sources([plan(name, ask(letter)) for name, letter in zip(names, "xyz", strict=False)], codec)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (plan("b"), "source 'b': the task has no examples; give it data"),
        (plan("b", ask("a")), "source 'b': earlier sources hold every one of its prompts; remove it"),
        (plan("b", ask("abcd")), "source 'b': all 1 prompts are longer than max_prompt_tokens=3: they hold"),
        (plan("b", ask("abcd"), overlong="error"), "source 'b': 1 prompts are longer than"),
    ],
)
def test_a_source_without_prompts_is_named(codec: TextCodec, second: SourcePlan, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_sources([plan("a", ask("a")), second], codec)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_weights_are_positive_numbers(codec: TextCodec, weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be a positive number"):
        build_sources([plan("a", ask("a"), weight=weight)], codec)


def test_what_is_known_is_left_out_and_counted_apart() -> None:
    known = {prompt_key(ask("a")): ask("a", "1", id="other")}
    found = deduplicate([ask("b"), ask("a"), ask("b"), ask("a", "2"), ask("a", "2")], known)
    assert [example.id for example in found.examples] == ["id of b"]
    assert (found.duplicates, found.elsewhere) == (1, 3)
    assert [(conflict.example.id, conflict.other_answers) for conflict in found.conflicts] == [
        ("other", ("2",))
    ]

"""What a row says of the completion it wants: with thoughts, how long; and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dapo.data.dedupe import prompt_key, text_key
from dapo.data.prompts import SourcePlan, build_prompts, build_sources
from dapo.data.row_limits import RowLimits
from dapo.data.split import split_examples
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example
from dapo.verify.yuan import expected_tokens, thinks

THINKING = "{{ messages[0].content }}{{ 'yy' if enable_thinking else 'n' }}"


def codec(template: str = THINKING) -> TextCodec:
    """One token per character of lower-case letters; the end is token 0."""
    letters = {"<eos>": 0, **{chr(96 + place): place for place in range(1, 27)}}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="z"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return TextCodec(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"), template)


def row(text: str = "a", thinking: Any = None, method: str = "llm_math", **extra: Any) -> Example:
    extra_info = {"enable_thinking_flag": thinking, **extra}
    columns = {"reward_method": method, "extra_info": extra_info}
    return Example("x", [{"role": "user", "content": text}], "1", columns)


def build(*examples: Example, limits: RowLimits | None = None, most: int = 20480, **settings: Any) -> Any:
    plan = SourcePlan(
        examples=examples, max_prompt_tokens=10, max_completion_tokens=most, row_limits=limits, **settings
    )
    [source], [report] = build_sources([plan], codec())
    return source.prompts, report


@pytest.mark.parametrize(
    ("example", "limit"),
    [
        (row(thinking=True), 16384),
        (row(thinking=True, method="llm_code"), 16384),
        (row(thinking=False), 4096),
        (row(thinking=False, method="llm_code"), 8192),
        (row(thinking=True, expect_len=100), 16384),
        (row(thinking=None, method="llm_code"), None),
        (Example("x", [], "1"), None),
        (Example("x", [], "1", {"enable_thinking_flag": "False"}), 4096),
    ],
)
def test_yuan_s_limits(example: Example, limit: int | None) -> None:
    """Section 5.3 of its loader, without the cut of short ones that nobody is told of."""
    assert RowLimits().of(example) == limit


def test_the_cut_of_short_ones_can_be_had_and_needs_a_length() -> None:
    limits = RowLimits(short_thinking=1024)
    lengths = [499, 500, 0, None, "120.5"]
    found = [limits.of(row(thinking=True, expect_len=length)) for length in lengths]
    assert found == [1024, 16384, 16384, 16384, 1024]
    assert limits.of(row(thinking=False, expect_len=10)) == 4096


def test_a_row_never_gets_more_than_the_recipe_allows_and_the_report_says_what_it_gets() -> None:
    rows = [row("a", True), row("b", False), row("c", False), row("d")]
    prompts, report = build(*rows, limits=RowLimits(), most=10_000)
    assert [prompt.max_completion_tokens for prompt in prompts] == [10_000, 4096, 4096, 10_000]
    assert (report.thoughtful, report.thoughtless, report.limits) == (1, 2, {10_000: 2, 4096: 2})
    assert report.summary().endswith(
        "; 1 ask for thoughts, 2 for an answer without; completions end by what their rows say, "
        "2 at 4,096, 2 at 10,000 tokens"
    )


def test_rows_have_no_say_where_they_are_given_none() -> None:
    prompts, report = build(row("a", True), row("b", False), most=10_000)
    assert {prompt.max_completion_tokens for prompt in prompts} == {10_000}
    assert report.limits == {} and "completions end" not in report.summary()
    plain, report = build_prompts([Example("x", row().messages, "1")], codec(), 10, 20)
    assert plain[0].expected_completion_tokens is None and "thoughts" not in report.summary()


@pytest.mark.parametrize("name", ["thinking", "plain", "code", "short_thinking", "short_below"])
def test_limits_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1 token, not 0"):
        RowLimits(**{name: 0})


def test_prompts_are_read_and_measured_under_the_template_they_ask_for() -> None:
    """Three tokens with thoughts, two without; a row that says nothing leaves it to the template."""
    prompts, _ = build(row("a", True), row("a", False), row("a"))
    assert [list(prompt.token_ids) for prompt in prompts] == [[1, 25, 25], [1, 14], [1, 14]]
    kept, report = build_prompts([row("a", True), row("a", False)], codec(), 2, 20)
    assert [list(prompt.token_ids) for prompt in kept] == [[1, 14]] and report.overlong == 1
    cut, _ = build_prompts([row("abcd", True), row("abcd", False)], codec(), 4, 20, overlong="right")
    assert [list(prompt.token_ids) for prompt in cut] == [[1, 2, 25, 25], [1, 2, 3, 14]]


def test_rows_that_differ_in_their_thoughts_are_two_prompts_that_say_the_same() -> None:
    rows = [row("a b", True), row("ab", False), row("ab", True), row("ab"), row("a b", "")]
    prompts, report = build(*rows)
    assert (len(prompts), report.duplicates) == (3, 2)
    assert [prompt.example.id for prompt in prompts] == ["x", "x#2", "x#3"]
    assert len({prompt_key(one) for one in rows}) == 3 and len({text_key(one) for one in rows}) == 1


def test_both_ways_to_answer_a_question_are_held_out_together() -> None:
    rows = [row(text, thinking) for text in "abcdefgh" for thinking in (True, False)]
    train, held_out = split_examples(rows, 0.25)
    assert (len(train), len(held_out)) == (12, 4)
    assert {text_key(one) for one in train}.isdisjoint(text_key(one) for one in held_out)


def test_expected_lengths_are_read_from_the_row() -> None:
    prompts, _ = build(row("a", expect_len=700.0), row("b", expect_len=0), row("c"))
    assert [prompt.expected_completion_tokens for prompt in prompts] == [700.0, None, None]


@pytest.mark.parametrize("flag", ["maybe", 2, [True], float("nan")])
def test_flags_that_are_none(flag: Any) -> None:
    with pytest.raises(UserError, match="example x: enable_thinking_flag must be true or false, not"):
        thinks(row(thinking=flag))


@pytest.mark.parametrize("length", ["long", -1, float("inf"), float("nan"), [5]])
def test_lengths_that_are_none(length: Any) -> None:
    with pytest.raises(UserError, match="example x: expect_len must be a length in tokens, not"):
        expected_tokens(row(expect_len=length))


@pytest.mark.parametrize(
    ("flag", "meant"), [(1, True), (0.0, False), ("TRUE", True), (" false", False), ("", None), (None, None)]
)
def test_flags_as_files_hold_them(flag: Any, meant: bool | None) -> None:
    assert thinks(row(thinking=flag)) is meant

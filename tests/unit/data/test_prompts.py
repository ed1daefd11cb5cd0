from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dapo.data.dedupe import Conflict, deduplicate, prompt_key, with_unique_ids
from dapo.data.prompts import Overlong, build_prompts
from dapo.data.split import split_examples
from dapo.errors import UserError
from dapo.text import TextCodec
from dapo.types import Example


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    """One token per character of lower-case letters; the end is token 0."""
    letters = {
        "<eos>": 0,
        **{letter: place for place, letter in enumerate("abcdefghijklmnopqrstuvwxyz ", start=1)},
    }
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="z"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return TextCodec(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"), "plain")


def ask(text: str, answer: str = "1", id: str | None = None) -> Example:
    return Example(id or f"id of {text}", [{"role": "user", "content": text}], answer)


def texts(examples: Sequence[Example]) -> list[str]:
    return [str(example.messages[0]["content"]) for example in examples]


def test_prompts_hold_the_tokens_of_the_examples_in_order(codec: TextCodec) -> None:
    prompts, report = build_prompts([ask("abc"), ask("de")], codec, 10, 20)
    assert [list(prompt.token_ids) for prompt in prompts] == [[1, 2, 3], [4, 5]]
    assert [prompt.max_completion_tokens for prompt in prompts] == [20, 20]
    assert [prompt.example.id for prompt in prompts] == ["id of abc", "id of de"]
    assert (report.min_tokens, report.mean_tokens, report.max_tokens) == (2, 2.5, 3)


def test_overlong_prompts_are_dropped_whole_and_counted(codec: TextCodec) -> None:
    prompts, report = build_prompts([ask("a"), ask("abcd"), ask("abc"), ask("abcde")], codec, 3, 20)
    assert texts([prompt.example for prompt in prompts]) == ["a", "abc"]
    assert (report.rows, report.kept, report.overlong) == (4, 2, 2)
    assert report.overlong_ids == ("id of abcd", "id of abcde")


def test_overlong_prompts_are_counted_one_by_one_even_if_their_ids_repeat(codec: TextCodec) -> None:
    _, report = build_prompts([ask("a"), ask("abcd", id="x"), ask("abcde", id="x")], codec, 3, 20)
    assert (report.overlong, report.unread) == (2, 0)


@pytest.mark.parametrize(
    ("overlong", "cut"), [("left", ["cde", "hij"]), ("right", ["abc", "fgh"]), ("middle", ["ade", "fij"])]
)
def test_overlong_prompts_are_cut_on_request_and_counted(
    codec: TextCodec, overlong: Overlong, cut: list[str]
) -> None:
    given = [ask("abcde"), ask("xy"), ask("fghij")]
    prompts, report = build_prompts(given, codec, 3, 20, overlong=overlong)
    assert texts([prompt.example for prompt in prompts]) == [cut[0], "xy", cut[1]]
    assert [prompt.token_ids for prompt in prompts] == [codec.encode(p.example.messages) for p in prompts]
    assert [prompt.example.id for prompt in prompts] == ["id of abcde", "id of xy", "id of fghij"]
    assert (report.kept, report.overlong, report.truncated, report.unread) == (3, 0, 2, 0)
    assert report.truncated_ids == ("id of abcde", "id of fghij")
    assert report.summary() == (
        "3 prompts, 2 of them cut to 3 tokens, from 3 rows: 0 repeated, 0 longer than 3 tokens; "
        "the prompts kept hold 2 to 3 tokens, 3 on average"
    )
    assert texts(given) == ["abcde", "xy", "fghij"]


def test_prompts_that_cannot_be_cut_to_fit_are_dropped_and_counted(codec: TextCodec) -> None:
    instructed = Example("instructed", [{"role": "system", "content": "abcd"}, *ask("ab").messages], "1")
    prompts, report = build_prompts([instructed, ask("abcde")], codec, 3, 20, overlong="left")
    assert texts([prompt.example for prompt in prompts]) == ["cde"]
    assert (report.overlong_ids, report.truncated_ids) == (("instructed",), ("id of abcde",))
    with pytest.raises(UserError, match=r"all 1 prompts are .*=3, even with their text cut away: they hold"):
        build_prompts([instructed], codec, 3, 20, overlong="left")


def test_overlong_prompts_are_an_error_on_request(codec: TextCodec) -> None:
    given = [ask("abcd"), ask("a"), ask("abcde"), ask("abcdefg"), ask("abcdef"), ask("b"), ask("abcdefghi")]
    with pytest.raises(UserError) as caught:
        build_prompts(given, codec, 3, 20, overlong="error")
    assert str(caught.value) == (
        "5 prompts are longer than max_prompt_tokens=3; their ids and tokens are 'id of abcd' (4), "
        "'id of abcde' (5), 'id of abcdefg' (7) and 2 more; set max_prompt_tokens to 9, or overlong to drop, "
        "left, right or middle"
    )
    assert build_prompts(given[1:2], codec, 3, 20, overlong="error")[1].kept == 1
    with pytest.raises(UserError, match=r"tokens are 'id of abcd' \(4\); set max_prompt_tokens to 4, or"):
        build_prompts(given[:1], codec, 3, 20, overlong="error")


def test_what_to_do_with_overlong_prompts_is_one_of_five_things(codec: TextCodec) -> None:
    with pytest.raises(ValueError, match=r"overlong must be one of drop, left, .*, not center"):
        build_prompts([ask("a")], codec, 3, 20, overlong="center")  # type: ignore[arg-type]


def test_nothing_left_is_an_error_with_the_lengths_and_the_fix(codec: TextCodec) -> None:
    with pytest.raises(UserError) as caught:
        build_prompts([ask("abcd"), ask("abcdef")], codec, 3, 20)
    assert str(caught.value) == (
        "all 2 prompts are longer than max_prompt_tokens=3: they hold 4 to 6 tokens; set it to 4 or more"
    )
    with pytest.raises(UserError, match="the task has no examples"):
        build_prompts([], codec, 3, 20)


def test_the_limit_counts_prompts_that_are_kept(codec: TextCodec) -> None:
    given = [ask("abcd"), ask("a"), ask("a"), ask("b"), ask("c")]
    prompts, report = build_prompts(given, codec, 3, 20, limit=2)
    assert texts([prompt.example for prompt in prompts]) == ["a", "b"]
    assert (report.rows, report.duplicates, report.overlong, report.kept, report.unread) == (5, 1, 1, 2, 1)


def test_the_report_as_a_sentence(codec: TextCodec) -> None:
    given = [ask("a"), ask("a", "2"), ask("bcd"), ask("abcde"), ask("e")]
    assert build_prompts(given, codec, 3, 20, limit=2)[1].summary() == (
        "2 prompts from 5 rows: 1 repeated (1 prompts with several answers, the first kept), "
        "0 longer than 3 tokens, 2 beyond the limit; the prompts kept hold 1 to 3 tokens, 2 on average"
    )
    assert build_prompts(given[2:], codec, 3, 20)[1].summary() == (
        "2 prompts from 3 rows: 0 repeated, 1 longer than 3 tokens; "
        "the prompts kept hold 1 to 3 tokens, 2 on average"
    )


def test_copies_that_stay_get_ids_of_their_own(codec: TextCodec) -> None:
    prompts, report = build_prompts([ask("a"), ask("a"), ask("a")], codec, 3, 20, drop_duplicates=False)
    assert [prompt.example.id for prompt in prompts] == ["id of a", "id of a#2", "id of a#3"]
    assert report.duplicates == 0


@pytest.mark.parametrize("name", ["max_prompt_tokens", "max_completion_tokens", "limit"])
def test_limits_must_be_positive(codec: TextCodec, name: str) -> None:
    limits: dict[str, Any] = {"max_prompt_tokens": 3, "max_completion_tokens": 3, "limit": 3, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        build_prompts([ask("a")], codec, **limits)


def test_duplicates_are_found_whatever_their_white_space() -> None:
    found = deduplicate([ask("x = 1 ?"), ask("x=1?\n"), ask("X=1?"), ask("x = 1 ?", "1 ")])
    assert texts(found.examples) == ["x = 1 ?", "X=1?"]
    assert (found.duplicates, found.conflicts) == (2, ())


def test_conflicting_answers_are_reported_and_the_first_kept() -> None:
    given = [ask("a", "1"), ask("b", "5"), ask("a", "2"), ask(" a", "3"), ask("a", "2"), ask("a", "1")]
    found = deduplicate(given)
    assert [(example.id, example.answer) for example in found.examples] == [
        ("id of a", "1"),
        ("id of b", "5"),
    ]
    assert found.duplicates == 4
    assert found.conflicts == (Conflict(given[0], ("2", "3")),)


def test_roles_and_borders_of_messages_tell_prompts_apart() -> None:
    def key(*turns: tuple[str, str]) -> str:
        return prompt_key(Example("", [{"role": role, "content": content} for role, content in turns], ""))

    keys = {key(("user", "ab")), key(("system", "ab")), key(("user", "a"), ("user", "b")), key(("user", "b"))}
    assert len(keys) == 4


def test_ids_stay_where_they_are_unique() -> None:
    assert [example.id for example in with_unique_ids([ask("a"), ask("b"), ask("a")])] == [
        *("id of a", "id of b", "id of a#2")
    ]


def test_ids_given_to_copies_are_not_those_of_others() -> None:
    given = [ask("a", id=name) for name in ("x", "x#2", "x", "x", "x#2")]
    assert [example.id for example in with_unique_ids(given)] == ["x", "x#2", "x#3", "x#4", "x#2#2"]


def test_a_split_takes_the_share_it_says_and_keeps_copies_together() -> None:
    given = [ask(f"question {number % 20}", str(number)) for number in range(60)]
    train, held_out = split_examples(given, 0.15)
    assert {prompt_key(example) for example in train}.isdisjoint(prompt_key(example) for example in held_out)
    assert (len(train), len(held_out)) == (51, 9)
    assert split_examples(list(reversed(given)), 0.15)[1] == held_out[::-1]
    in_alphabetical_order = sorted({prompt_key(example) for example in given})
    assert {prompt_key(example) for example in held_out} != set(in_alphabetical_order[:3])


def test_a_split_that_leaves_nothing_to_train_on() -> None:
    with pytest.raises(UserError, match=r"eval_fraction 0.5 of 1 distinct prompts leaves none to train on"):
        split_examples([ask("a"), ask("a")], 0.5)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dapo.data.truncate import Side, cut_messages
from dapo.text import TextCodec

SPECIALS = ["<eos>", "<|im_start|>", "<|im_end|>", "<|image|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<|image|>{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
OPENING = "<|im_start|>assistant\n<think>\n"
SYSTEM = {"role": "system", "content": "Be brief."}
PICTURE = {"type": "image", "image": "sha256:1"}

sides = st.sampled_from(["left", "right", "middle"])


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    """Bytes, and merges with which one character more may mean one token less: `ab` and `c` make `abc`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*SPECIALS, *alphabet, "bc", "abc", "abcabc"]
    merges = [("b", "c"), ("a", "bc"), ("abc", "abc")]
    tokenizer = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return TextCodec(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>"), TEMPLATE)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(part: str) -> dict[str, str]:
    return {"type": "text", "text": part}


def frame(codec: TextCodec, *messages: Any) -> int:
    """Tokens of the messages."""
    return len(codec.encode(list(messages)))


def cut_by(codec: TextCodec, tokens: int, side: Side, *messages: Any) -> list[Any]:
    """The messages after they were cut to so many tokens less than they have."""
    found = cut_messages(list(messages), codec, frame(codec, *messages) - tokens, side)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("side", "expected"), [("left", "defghij"), ("right", "xxyydef"), ("middle", "xxyghij")]
)
def test_a_text_loses_its_beginning_its_end_or_its_centre(
    codec: TextCodec, side: Side, expected: str
) -> None:
    assert cut_by(codec, 4, side, SYSTEM, user("xxyydefghij")) == [SYSTEM, user(expected)]


@given(words=st.text("abc é\N{SNOWMAN}", min_size=1, max_size=60), side=sides, tokens=st.integers(1, 40))
def test_what_is_cut_is_the_text_and_as_little_of_it_as_can_be(
    codec: TextCodec, words: str, side: Side, tokens: int
) -> None:
    limit = frame(codec, SYSTEM, user("")) + tokens
    cut = cut_messages([SYSTEM, user(words)], codec, limit, side)
    if cut is None:
        last_left = words[0] if side == "right" else words[-1]
        assert " " in words or frame(codec, SYSTEM, user(last_left)) > limit
        return
    left = cut[1]["content"]
    assert cut == [SYSTEM, user(left)]
    assert frame(codec, *cut) <= limit

    def keeping(count: int) -> str:
        gone = len(words) - count
        start = {"left": 0, "right": count, "middle": count // 2}[side]
        return words[:start] + words[start + gone :]

    assert left == keeping(len(left))
    assert left == words or frame(codec, SYSTEM, user(keeping(len(left) + 1))) > limit
    rendered = codec.tokenizer.decode(codec.encode(cut))
    assert (
        rendered == f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{left}<|im_end|>\n{OPENING}"
    )


def test_turns_count_as_one_text_and_keep_their_frames(codec: TextCodec) -> None:
    dialogue = [SYSTEM, user("1234"), {"role": "assistant", "content": "56"}, user("78")]

    def contents(side: Side, tokens: int) -> list[str]:
        cut = cut_by(codec, tokens, side, *dialogue)
        assert [message["role"] for message in cut] == [message["role"] for message in dialogue]
        return [message["content"] for message in cut]

    assert contents("left", 3) == ["Be brief.", "4", "56", "78"]
    assert contents("left", 5) == ["Be brief.", "", "6", "78"]
    assert contents("right", 3) == ["Be brief.", "1234", "5", ""]
    assert contents("middle", 2) == ["Be brief.", "123", "6", "78"]


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("left", [text(""), PICTURE, text("34"), PICTURE]),
        ("right", [text("12"), PICTURE, text(""), PICTURE]),
        ("middle", [text("1"), PICTURE, text("4"), PICTURE]),
    ],
)
def test_images_stay_whole(codec: TextCodec, side: Side, expected: list[Any]) -> None:
    parts = [text("12"), PICTURE, text("34"), PICTURE]
    assert cut_by(codec, 2, side, user(parts)) == [user(expected)]


@pytest.mark.parametrize(
    ("side", "expected"),
    [("left", "<|image|><|image|>34"), ("right", "12<|image|><|image|>"), ("middle", "1<|image|><|image|>4")],
)
def test_placeholders_in_a_text_stay_whole(codec: TextCodec, side: Side, expected: str) -> None:
    assert cut_by(codec, 2, side, user("12<|image|><|image|>34")) == [user(expected)]


def test_the_messages_given_are_left_alone(codec: TextCodec) -> None:
    parts = [text("12"), PICTURE]
    messages = [user(parts), {"role": "assistant", "content": "34", "name": "x"}]
    cut = cut_by(codec, 3, "left", *messages)
    assert messages == [user([text("12"), PICTURE]), {"role": "assistant", "content": "34", "name": "x"}]
    assert cut == [user([text(""), PICTURE]), {"role": "assistant", "content": "4", "name": "x"}]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "long " * 30}, user("12")],
        [{"role": "developer", "content": "long " * 30}, user("12")],
        [user([PICTURE] * 30 + [text("12")])],
        [user("<|image|>" * 30 + "12")],
        [user([PICTURE] * 30)],
        [user("")],
    ],
    ids=["system", "developer", "images", "placeholders", "no text", "empty"],
)
def test_a_frame_that_is_too_long_by_itself_cannot_be_cut(codec: TextCodec, messages: list[Any]) -> None:
    assert cut_messages(messages, codec, frame(codec, *messages) - 2, "right") is None


def test_one_character_is_the_least_that_is_left(codec: TextCodec) -> None:
    least = frame(codec, user("1"))
    assert cut_messages([user("12345")], codec, least, "right") == [user("1")]
    assert cut_messages([user("12345")], codec, least - 1, "right") is None


def test_blanks_alone_are_nothing_to_ask(codec: TextCodec) -> None:
    words = user("   5")
    limit = frame(codec, words)
    assert cut_messages([words], codec, limit - 1, "right") is None
    assert cut_messages([words], codec, limit - 1, "left") == [user("  5")]

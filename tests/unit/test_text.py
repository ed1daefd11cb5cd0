from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dapo.errors import UserError
from dapo.text import TextCodec

QUESTION = [{"role": "user", "content": "What is 2+2?"}]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(*specials: str, adds_bos: bool = False, **kwargs: Any) -> PreTrainedTokenizerFast:
    """A real tokenizer of single bytes. Special tokens take the ids from 0 on."""
    vocabulary = {token: place for place, token in enumerate(specials)}
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[byte] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **kwargs)


def test_messages_go_through_the_chat_template() -> None:
    tokenizer = make_tokenizer("<eos>", "<|im_start|>", "<|im_end|>", eos_token="<eos>")
    tokenizer.chat_template = CHATML
    ids = TextCodec(tokenizer).encode(QUESTION)
    assert tokenizer.decode(ids) == "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    assert all(isinstance(token, int) for token in ids)
    assert ids.count(1) == 2 and ids.count(2) == 1


def test_a_template_is_told_whether_thoughts_are_wanted() -> None:
    tokenizer = make_tokenizer("<eos>", eos_token="<eos>")
    asking = "{{ messages[0].content }}{{ '' if enable_thinking | default(true) else '/no_think' }}"
    codec = TextCodec(tokenizer, asking)
    shown = [tokenizer.decode(codec.encode(QUESTION, thinking)) for thinking in (True, False, None)]
    assert shown == ["What is 2+2?", "What is 2+2?/no_think", "What is 2+2?"]
    assert codec.asks_for_thoughts and not TextCodec(tokenizer, "plain").asks_for_thoughts


def test_decode_leaves_special_tokens_out_and_keeps_every_character() -> None:
    codec = TextCodec(make_tokenizer("<eos>", eos_token="<eos>"), "plain")
    text = "It is 4 , isn 't it ?\n  \N{MINUS SIGN}5 é"
    assert codec.decode([*codec.encode_completion(text), codec.eos_id]) == text


@pytest.mark.parametrize("template", [None, "{{ bos_token }}" + CHATML, "plain"])
def test_there_is_never_more_than_one_bos(template: str | None) -> None:
    tokenizer = make_tokenizer(
        *("<bos>", "<eos>", "<|im_start|>", "<|im_end|>"), adds_bos=True, bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    codec = TextCodec(tokenizer, template)
    assert codec.encode(QUESTION).count(0) == 1
    assert codec.encode(QUESTION)[0] == 0
    assert 0 not in codec.encode_completion("Answer: 4")


def test_plain_joins_the_contents_and_adds_nothing() -> None:
    codec = TextCodec(make_tokenizer("<eos>", eos_token="<eos>"), "plain")
    messages = [{"role": "system", "content": "Be brief. {{ x }}"}, {"role": "user", "content": "2+2=?\n"}]
    assert codec.tokenizer.decode(codec.encode(messages)) == "Be brief. {{ x }}\n2+2=?\n"
    assert codec.eos_ids == {0}


def test_a_template_can_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.jinja"
    path.write_text("Q: {{ messages[0].content }} A:", encoding="utf-8")
    codec = TextCodec(make_tokenizer("<eos>", eos_token="<eos>"), str(path))
    assert codec.decode(codec.encode(QUESTION)) == "Q: What is 2+2? A:"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template; set model.template to a Jinja template, the path of a .jinja file, or"),
        ("chatml", "model.template: 'chatml' is neither the word plain, nor the path"),
        ("nowhere.jinja", "model.template: there is no file nowhere.jinja"),
    ],
)
def test_templates_that_are_none(template: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextCodec(make_tokenizer("<eos>", eos_token="<eos>"), template)


def test_a_template_that_refuses_the_messages_names_the_fix() -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ 1 }}"
    )
    codec = TextCodec(make_tokenizer("<eos>", eos_token="<eos>"), template)
    with pytest.raises(UserError, match=r"roles system, user \(no system role\).* set model.template"):
        codec.encode([{"role": "system", "content": "x"}, *QUESTION])


@pytest.mark.parametrize("token", ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<mine>"])
def test_the_token_that_closes_a_turn_ends_a_completion(token: str) -> None:
    tokenizer = make_tokenizer("<eos>", "<|im_start|>", token, "<|elsewhere|>", eos_token="<eos>")
    codec = TextCodec(tokenizer, CHATML.replace("<|im_end|>", token), extra_eos_ids=[3])
    assert codec.eos_ids == {0, 2, 3}
    assert codec.eos_id == 2
    assert codec.pad_id == 2


def test_what_opens_an_answer_does_not_end_one() -> None:
    template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}"
    )
    codec = TextCodec(make_tokenizer("<eos>", "<|a|>", eos_token="<eos>"), template)
    assert codec.eos_ids == {0}
    assert codec.encode(QUESTION)[-1] == 1


def test_a_token_that_closes_only_a_part_of_an_answer_does_not_end_it() -> None:
    template = "{% for m in messages %}<|start|>{{ m.role }}<|end|>{{ m.content }}<|return|>{% endfor %}"
    codec = TextCodec(make_tokenizer("<|start|>", "<|end|>", "<|return|>"), template)
    assert codec.eos_ids == {2}


def test_special_tokens_written_in_a_text_are_found() -> None:
    codec = TextCodec(make_tokenizer("<eos>", "<image>", "<image>2", eos_token="<eos>"), "plain")
    assert codec.split_special("a <image> b<eos>") == ["a ", "<image>", " b", "<eos>", ""]
    assert codec.split_special("<image>2") == ["", "<image>2", ""]
    assert codec.split_special("no <img>") == ["no <img>"]


def test_tokens_that_were_added_but_are_not_special_are_plain_text() -> None:
    tokenizer = make_tokenizer("<eos>", eos_token="<eos>")
    tokenizer.add_tokens(["<think>"])
    assert TextCodec(tokenizer, "plain").split_special("a<think>b") == ["a<think>b"]
    assert TextCodec(make_tokenizer(), "plain", [7]).split_special("<eos>") == ["<eos>"]


def test_padding() -> None:
    assert (
        TextCodec(make_tokenizer("<pad>", "<eos>", pad_token="<pad>", eos_token="<eos>"), "plain").pad_id == 0
    )
    assert TextCodec(make_tokenizer("<x>", "<eos>", eos_token="<eos>"), "plain").pad_id == 1
    assert TextCodec(make_tokenizer("<x>", "<y>"), "plain", [1]).pad_id == 1


def test_a_tokenizer_with_which_nothing_ends_is_refused() -> None:
    with pytest.raises(UserError, match="no completion could end; set eos_token"):
        TextCodec(make_tokenizer("<x>"), "plain")


def test_a_saved_tokenizer_asks_in_the_same_way(tmp_path: Path) -> None:
    codec = TextCodec(
        make_tokenizer("<bos>", "<eos>", adds_bos=True, bos_token="<bos>", eos_token="<eos>"), "plain"
    )
    codec.save(tmp_path)
    again = TextCodec(AutoTokenizer.from_pretrained(tmp_path))
    assert again.encode(QUESTION) == codec.encode(QUESTION)
    assert again.eos_ids == codec.eos_ids

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dapo.data.inspection import Inspection, Inspector
from dapo.data.prepare.keys import Wrappers
from dapo.data.template_audit import audit_template
from dapo.errors import UserError
from dapo.jobs.inspect import inspect_data
from dapo.jobs.prepare import sources_of
from dapo.text import TextCodec

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def codec(template: str | None = None, adds_bos: bool = False, **special: str) -> TextCodec:
    """One token per character; `<bos>`, `<eos>` and the marks of ChatML are tokens of their own."""
    names = ["<eos>", "<pad>", "<bos>", *map(chr, range(32, 127)), "\n"]
    vocabulary = {name: place for place, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 2)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{"eos_token": "<eos>", **special})
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return TextCodec(fast, template or CHATML)


def verdicts(found: TextCodec) -> dict[str, tuple[str, str]]:
    return {check.name: (check.verdict, check.text) for check in audit_template(found)}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def look(path: str, codec: TextCodec | None = None, limit: int = 2048, samples: int = 10) -> Inspection:
    return Inspector(sources_of(path)[0], Wrappers(), codec, limit, samples).run()


def test_rows_columns_answers_and_repetitions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"prompt": "one?", "answer": "1,024", "info": {"level": 3}},
        {"prompt": "one ?", "answer": "1,024", "info": None},
        {"prompt": "two?", "answer": r"\frac{1}{2}", "info": {"level": 1}},
        {"prompt": "two?", "answer": "0.5"},
        {"prompt": "求?", "answer": "-7"},
        {"prompt": "none?", "answer": ""},
        {"prompt": "x \frac1 \x01?", "answer": "2 apples"},
    )
    found = look(path)
    assert (found.rows, found.prompts, found.repeated_rows, found.conflicts) == (7, 4, 2, 1)
    assert found.conflict_rows == [[3, 4]]
    assert found.columns == {
        "prompt": {"text": 7},
        "answer": {"text": 6, "nothing": 1},
        "info.level": {"number": 2},
        "info": {"nothing": 1},
    }
    assert found.unusable == {"column 'answer': the answer is missing": 1}
    assert (found.numeric_answers, found.other_answers) == (2, 2)
    assert found.other_answer_examples == [r"\frac{1}{2}", "2 apples"]
    assert found.longest_answer == 11
    assert found.languages == {"en": 3, "cn": 1}
    assert (found.damaged, found.control) == (1, 1)


def test_lengths_are_those_of_different_prompts(tmp_path: Path) -> None:
    rows = [{"prompt": "a" * length, "answer": 1} for length in (2, 2, 5, 30)]
    [characters, words] = look(write(tmp_path / "a.jsonl", *rows)).lengths
    assert characters.quantiles == {
        "min": 2,
        "p5": 2,
        "median": 5,
        "p95": 30,
        "p99": 30,
        "max": 30,
        "mean": 12.3,
    }
    assert characters.histogram[0] == (2, 4, 1)  # 29 lengths in bins of 3: 2-4, 5-7 ... 29-30
    assert characters.histogram[1] == (5, 7, 1)
    assert characters.histogram[-1] == (29, 30, 1)
    assert sum(count for *_, count in characters.histogram) == 3
    assert words.histogram == ((1, 1, 3),)


def test_tokens_are_counted_under_the_template(tmp_path: Path) -> None:
    """ChatML adds 19 tokens: two marks, `user` and a line end, a mark and a line end, `assistant` likewise.

    The prompts hold 2, 6 and 1 tokens of their own.
    """
    rows = [{"prompt": text, "answer": 1} for text in ("ab", "abcdef", "<|im_end|>")]
    found = look(write(tmp_path / "a.jsonl", *rows), codec(), limit=21)
    assert {lengths.unit: lengths.quantiles["max"] for lengths in found.lengths} == {
        "characters": 10,
        "words": 1,
        "tokens": 25,
    }
    assert (found.overlong, found.with_special_tokens, found.max_prompt_tokens) == (1, 1, 21)


def test_samples_show_what_the_model_sees(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *({"prompt": f"{place}?", "answer": place} for place in range(30)))
    samples = look(path, codec(), samples=4).samples
    assert len({sample.place for sample in samples}) == 4
    for sample in samples:
        assert sample.text == f"<|im_start|>user\n{sample.answer}?<|im_end|>\n<|im_start|>assistant\n"
        assert sample.tokens == 19 + len(f"{sample.answer}?")
    assert look(path, samples=4).samples[0].text == f"[user] {samples[0].answer}?"
    assert look(path, samples=0).samples == []


def test_prompts_that_the_template_refuses_are_counted(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    template += "{{ m.content }}{% endfor %}"
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "b?"}]
    path = write(
        tmp_path / "a.jsonl", {"prompt": [*system[1:]], "answer": 1}, {"prompt": system, "answer": 1}
    )
    found = look(path, codec(template))
    assert (found.prompts, found.refused) == (2, 1)
    assert "no system" in found.refusal
    assert verdicts(codec(template))["system message"] == (
        "warning",
        "refused (no system); rows with one cannot be used",
    )


def test_a_sound_template() -> None:
    found = verdicts(codec(CHATML, eos_token="<|im_end|>", pad_token="<pad>"))
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "end of turn": "ok",
        "padding": "ok",
        "generation prompt": "ok",
        "thoughts": "ok",
        "system message": "ok",
        "beginning": "ok",
        "white space": "ok",
    }
    assert found["generation prompt"][1] == r"'<|im_start|>assistant\n'"


def test_rows_are_rendered_with_the_thoughts_they_ask_for(tmp_path: Path) -> None:
    thinking = codec(CHATML.replace("assistant\n{% endif %}", "assistant\n{{ enable_thinking }}{% endif %}"))
    row = {"prompt": "one?", "reward_model": {"ground_truth": "1"}, "answer": "1"}
    flags: list[Any] = [True, False, None, True, "maybe"]
    path = write(tmp_path / "a.jsonl", *({**row, "extra_info": {"enable_thinking_flag": f}} for f in flags))
    found = look(path, thinking)
    assert (found.prompts, found.repeated_rows, found.refused) == (4, 1, 1)
    assert "enable_thinking_flag must be true or false, not 'maybe'" in found.refusal
    # "False" has one character more than "True", and a template that is told nothing writes nothing.
    assert [length.quantiles["max"] - length.quantiles["min"] for length in found.lengths] == [0, 0, 5]
    assert "asked for, or not, by enable_thinking" in verdicts(thinking)["thoughts"][1]
    assert "does not look at enable_thinking" in verdicts(codec(CHATML))["thoughts"][1]


def test_an_end_of_turn_that_only_the_template_knows() -> None:
    verdict, text = verdicts(codec(CHATML))["end of turn"]
    assert verdict == "note"
    assert "answers end with <|im_end|>" in text and "<eos> (0)" in text


def test_padding_that_ends_sequences_and_padding_that_is_missing() -> None:
    assert "padding and end at once" in verdicts(codec(CHATML, pad_token="<eos>"))["padding"][1]
    assert verdicts(codec(CHATML))["padding"][1].startswith("the tokenizer has none")


def test_a_template_without_an_opening_and_without_system_messages() -> None:
    found = verdicts(codec("{% for m in messages if m.role != 'system' %}{{ m.content | trim }}{% endfor %}"))
    assert found["generation prompt"] == ("warning", "none: the model has to open its turn itself")
    assert found["system message"] == ("warning", "swallowed: the model never sees it")
    assert found["white space"][0] == "note"
    assert found["end of turn"][0] == "note"


@pytest.mark.parametrize(
    ("template", "adds_bos", "verdict", "text"),
    [
        ("{{ bos_token }}{{ bos_token }}" + CHATML, True, "warning", "<bos> (2) stands there twice"),
        ("{{ bos_token }}" + CHATML, True, "ok", "<bos> (2), once"),
        (CHATML, True, "warning", "the tokenizer begins every text with <bos> (2), the template does not"),
        (CHATML, False, "ok", "without <bos> (2)"),
    ],
)
def test_the_beginning_of_sequence(template: str, adds_bos: bool, verdict: str, text: str) -> None:
    found = verdicts(codec(template, adds_bos, bos_token="<bos>"))["beginning"]
    assert found[0] == verdict and found[1].startswith(text)


def test_everything_is_plain_data(tmp_path: Path, tiny_model: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "1+1=", "answer": 2})
    plain = json.loads(json.dumps(inspect_data(path, model=str(tiny_model), template="plain").plain()))
    assert plain["data"]["rows"] == 1
    assert plain["data"]["columns"] == {"prompt": {"text": 1}, "answer": {"number": 1}}
    assert plain["data"]["samples"][0]["text"] == "1+1="
    assert {check["name"] for check in plain["template"]} >= {"end of turn", "padding", "beginning"}


def test_errors_name_the_fix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "1?", "answer": ""})
    with pytest.raises(UserError, match="the answer is missing"):
        look(path)
    with pytest.raises(UserError, match="--template needs --model"):
        inspect_data(path, template="plain")

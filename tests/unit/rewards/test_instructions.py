"""IFEval's instructions. The cases follow what the paper's public checker says."""
# ruff: noqa: RUF001  (texts in their own letters)

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dapo.rewards.instructions import Reward
from dapo.types import Completion, Example
from dapo.verify.instructions import CHECKS, follows
from dapo.verify.sentences import count_sentences
from dapo.verify.tongues import is_in

AT_LEAST, LESS = "at least", "less than"

CASES: dict[str, list[tuple[dict[str, Any], str, bool]]] = {
    "keywords:existence": [
        ({"keywords": ["Apple", "b+"]}, "pineAPPLEs, b+", True),
        ({"keywords": ["apple", "b+"]}, "apple bb", False),
    ],
    "keywords:frequency": [
        ({"keyword": "one", "frequency": 2, "relation": AT_LEAST}, "One, none", True),
        ({"keyword": "one", "frequency": 2, "relation": LESS}, "One, none", False),
        ({"keyword": "one", "frequency": 2.0, "relation": LESS}, "one", True),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["ant", "bee"]}, "Elephants beeline", True),
        ({"forbidden_words": ["ant", "bee"]}, "An ANT.", False),
    ],
    "keywords:letter_frequency": [
        ({"letter": "A", "let_frequency": 3, "let_relation": AT_LEAST}, "Banana", True),
        ({"letter": "!", "let_frequency": 1, "let_relation": LESS}, "no!", False),
    ],
    "language:response_language": [
        ({"language": "en"}, "The response is English", True),
        ({"language": "es"}, "Desayunamos en McDonald's hoy", True),
        ({"language": "en"}, "Today we visit the Louvre", True),
        ({"language": "es"}, "The response is English", False),
        ({"language": "zh"}, "The response is English", False),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 4, "relation": LESS}, "xx,x. xx,x! xx/x. x{x}x?", False),
        ({"num_sentences": 5, "relation": LESS}, "xxxx. xx,x! xxxx. x(x)x?", True),
        ({"num_sentences": 4, "relation": AT_LEAST}, "xxxx. xx,x! xx|x. x&x x?", True),
        ({"num_sentences": 5, "relation": AT_LEAST}, "xx-x. xx,x! xx}x. x,xx?", False),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 3}, "\n  one\n  ***\n  two\n  ***\n  three", True),
        ({"num_paragraphs": 3}, "\n   ***\n  one\n  ***\n two\n  ***\n  three", True),
        ({"num_paragraphs": 3}, "one\n ***\n two\n ***\n three\n ***", True),
        ({"num_paragraphs": 2}, "one\n ***\n two\n ***\n ***", False),
        ({"num_paragraphs": 2}, "one\n\ntwo", False),
    ],
    "length_constraints:number_words": [
        ({"num_words": 5, "relation": AT_LEAST}, "It's two-fold, isn't", True),  # It s two fold isn t
        ({"num_words": 7, "relation": AT_LEAST}, "It's two-fold, isn't", False),
    ],
    "length_constraints:nth_paragraph_first_word": [
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Second"}, 'One.\n\n"second", it is.', True),
        ({"num_paragraphs": 2.0, "nth_paragraph": 1.0, "first_word": "one"}, "One's.\n\nTwo", True),
        ({"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "two"}, "One\n\nTwo", False),
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "one"}, "One\n\nTwo", False),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 5}, "[Name]\n[Email]\n[Phone]\n[Address]\n[Website]", True),
        ({"num_placeholders": 7}, "My [a] [n] is [a] [n]. I [v] and [v].", False),
        ({"num_placeholders": 1}, "[not\nclosed]", False),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, "on. P. S. Spaces.", True),
        ({"postscript_marker": "P.P.S"}, "square.\np.p.s what if", True),
        ({"postscript_marker": "P.P.S"}, "P.S. no", False),
        ({"postscript_marker": "PS:"}, "P.S. no", False),
        ({"postscript_marker": "PS:"}, "ps: yes", True),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 3}, "an asterisk (*). So:\n * one.\n *(two)\n * three", True),
        ({"num_bullets": 3}, "- one\n - two\n-three", True),
        ({"num_bullets": 1}, "1\n***\n2\n***\n* only one", True),
        ({"num_bullets": 1}, "* one\n- two", False),
    ],
    "detectable_format:constrained_response": [
        ({}, "\n My answer is no.\n", True),
        ({}, "My answer is maybe. I am young.", True),
        ({}, "My answer is no", False),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, "type:*hello*, or **hello**", True),
        ({"num_highlights": 2}, "*one\n*two*\n*three\n", False),
        ({"num_highlights": 4}, "*two different* and *in the same* **also** for **double ones**", True),
        ({"num_highlights": 1}, "** ** * *", False),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "Section", "num_sections": 3},
            'as "Section X":\nSection 1\na\nSection 2\nb',
            False,
        ),
        ({"section_spliter": "SECTION", "num_sections": 2}, "SECTION 1\na\nSECTION 2\nb", True),
    ],
    "detectable_format:json_format": [
        ({}, '```json\n{"a": [1, 2]}\n```', True),
        ({}, ' "text" ', True),
        ({}, "{a: 1}", False),
        ({}, '{"a": 1} done', False),
    ],
    "detectable_format:title": [
        ({}, "Poem\n<<A song>>\nla", True),
        ({}, "<< >>", False),
        ({}, "<<A\nsong>>", False),
        ({}, "<A song>", False),
        ({}, ">> <<", False),
    ],
    "combination:two_responses": [
        ({}, "one\n******\ntwo", True),
        ({}, "******\none\n******\ntwo\n******", True),
        ({}, "one\n******\none", False),
        ({}, "one\n******\n******\ntwo", False),
        ({}, "one", False),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": " Say hi. "}, "\nsay HI. Hi!", True),
        ({"prompt_to_repeat": "Say hi."}, "Sure: say hi.", False),
    ],
    "startend:end_checker": [
        ({"end_phrase": "Any questions? "}, 'so. ANY questions?"\n', True),
        ({"end_phrase": "Any questions?"}, "Any questions? No.", False),
    ],
    "startend:quotation": [({}, ' "quoted"\n', True), ({}, '"', False), ({}, '"a" b', False)],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": AT_LEAST}, "NASA and (ESA), Not So", True),
        ({"capital_frequency": 2, "capital_relation": LESS}, "I see NASA", False),
    ],
    "change_case:english_capital": [
        ({}, "THIS IS ENGLISH, 2 TIMES.", True),
        ({}, "THIS Is ENGLISH.", False),
        ({}, "ДВА И ДВА", False),
    ],
    "change_case:english_lowercase": [({}, "this is it.", True), ({}, "This is it.", False)],
    "punctuation:no_comma": [({}, "none; here", True), ({}, "one, here", False)],
}

FLAT = [(name, *case) for name, cases in CASES.items() for case in cases]


def judge(text: str, columns: dict[str, Any], **settings: Any) -> float:
    return Reward(**settings)(
        Completion([], [], [], [], "eos", text), Example("row-1", [], "", columns)
    ).score


def test_all_25_have_cases_that_pass_and_cases_that_fail() -> None:
    assert len(CHECKS) == 25 and CHECKS.keys() == CASES.keys()
    assert all({right for *_, right in cases} == {True, False} for cases in CASES.values())


@pytest.mark.parametrize(("name", "arguments", "text", "expected"), FLAT)
def test_an_instruction(name: str, arguments: dict[str, Any], text: str, expected: bool) -> None:
    assert follows(text, name, arguments) is expected
    # Hub rows have one schema: every other argument is there, and None.
    assert follows(text, name, {"unrelated": None, **arguments}) is expected


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_follows_an_instruction_by_saying_nothing(name: str) -> None:
    arguments = CASES[name][0][0]
    assert not follows(" \n", name, arguments) and not follows("", name, arguments, loose=True)


def test_a_relation_of_another_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither 'less than' nor 'at least'"):
        follows("a", "length_constraints:number_words", {"num_words": 1, "relation": "exactly"})


def test_loose_reads_without_asterisks_first_and_last_line() -> None:
    quoted = 'Sure, here it is:\n"quoted"\nBye!'
    assert not follows(quoted, "startend:quotation", {}) and follows(
        quoted, "startend:quotation", {}, loose=True
    )
    bold = "**my answer is no** and **My answer is no**."
    assert not follows(bold, "detectable_format:constrained_response", {})
    assert follows(bold, "detectable_format:constrained_response", {}, loose=True)
    assert not follows("a, b", "punctuation:no_comma", {}, loose=True)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four", 4),
        ("Dr. A. Smith met Mr. Lee, e.g. here. Then 3.5 left.", 2),
        ("1. First point.\n2. Second point.", 2),
        ("It has 2. Then more.", 2),
        ('He said "stop." Then he left...', 2),
        ("I did it for I. He too.", 2),
        ("二加二。等于四！真的吗？", 3),
        ("...", 0),
        ("", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


PASSAGES = {
    "en": "The house is on the hill, and we can see it from the road that leads to the village.",
    "es": "La casa está en la colina y la vemos desde el camino que lleva al pueblo.",
    "pt": "A casa fica na colina e nós a vemos da estrada que leva para a vila, mas não hoje.",
    "fr": "La maison est sur la colline et nous la voyons du chemin qui mène au village.",
    "de": "Das Haus steht auf dem Hügel, und wir sehen es von der Straße, die zum Dorf führt.",
    "it": "La casa è sulla collina e la vediamo dalla strada che porta al paese, ma non oggi.",
    "ru": "Дом стоит на холме, и мы видим его с дороги, которая ведёт в деревню.",
    "uk": "Будинок стоїть на пагорбі, і ми бачимо його з дороги, що веде до села.",
    "ar": "البيت على التل ونراه من الطريق الذي يؤدي إلى القرية.",
    "fa": "خانه روی تپه است و ما آن را از جاده ای که به روستا می رود می بینیم.",
    "hi": "घर पहाड़ी पर है और हम उसे सड़क से देखते हैं।",
    "zh": "房子在山上，我们从通往村庄的路上看到它。",
    "ja": "家は丘の上にあり、村へ続く道から見えます。",
    "ko": "집은 언덕 위에 있고 마을로 가는 길에서 보입니다.",
    "th": "บ้านอยู่บนเนินเขา",
}


@pytest.mark.parametrize("language", PASSAGES)
def test_a_language_is_told_from_the_others(language: str) -> None:
    assert [other for other in PASSAGES if is_in(PASSAGES[language], other)] == [language]


def test_a_name_that_comes_again_and_again_does_not_change_the_language() -> None:
    text = "Teams from Los Angeles: Los Angeles Rams, Los Angeles Kings and the Los Angeles Lakers."
    assert is_in(text, "en") and not is_in(text, "es")


def test_the_reward_wants_all_instructions_followed_or_counts_them() -> None:
    columns = {
        "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
        "kwargs": [{}, {"keywords": ["apple"], "num_words": None}],
    }
    assert [judge(text, columns) for text in ("an apple", "an apple, red", "red, all")] == [1, 0, 0]
    assert [judge(text, columns, share=True) for text in ("an apple", "apple, red", "red, all")] == [
        1,
        0.5,
        0,
    ]
    assert judge("hm, well</think>an apple", columns) == 1
    assert judge("hm, well</think>an apple", columns, after="") == 0
    assert judge("Sure, an apple:\nan apple", columns) == 0
    assert judge("Sure, an apple:\nan apple", columns, loose=True) == 1
    packed = {"info": {name: json.dumps(value) for name, value in columns.items()}}
    inside = {"ids_column": "info.instruction_id_list", "kwargs_column": "info.kwargs"}
    assert judge("an apple", packed, **inside) == 1 and judge("a pear", packed, **inside) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "example row-1 has no list of instructions in 'instruction_id_list'"),
        (
            {"instruction_id_list": ["a"], "kwargs": []},
            "row-1 has 1 instructions in 'instruction_id_list' and 0",
        ),
        ({"instruction_id_list": [], "kwargs": []}, "has 0 instructions"),
        (
            {"instruction_id_list": ["a"], "kwargs": [{}]},
            "the instruction 'a' is unknown; known are keywords",
        ),
        (
            {"instruction_id_list": ["keywords:existence"], "kwargs": [None]},
            "the instruction 'keywords:existence' has no 'keywords' in its kwargs",
        ),
    ],
)
def test_rows_that_cannot_be_judged_say_why(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge("a", columns)


STRANGE = [
    *(
        "[" * 100_000,
        "]" * 100_000,
        "<<" * 50_000,
        "." * 100_000 + "x",
        ".'" * 50_000,
        "\n" * 100_000,
        "{" * 100_000,
    ),
    *(
        "*" * 100_000,
        "* " * 50_000,
        "1. " * 33_000,
        "\0" * 100_000,
        "٣" * 100_000,
        "`" * 99_999,
        "$" * 99_999,
    ),
    *(
        "\\(" * 50_000,
        "\\begin{" * 15_000,
        "9**9**9" * 14_000,
        "Section " * 12_500,
        "\u0301" * 100_000,
        "a" * 100_000,
    ),
    *(
        "</think>" * 12_500,
        "<think>" * 14_000,
        "\\boxed{" * 14_000,
        "\ud800" * 1000,
        "Answer: " * 12_500,
        " " * 100_000,
    ),
]


@pytest.mark.parametrize("place", range(len(STRANGE)))
def test_the_strangest_texts_take_no_time_and_raise_nothing(place: int) -> None:
    from dapo.rewards import format, language, repetition

    text = STRANGE[place]
    began = time.process_time()
    for name in CHECKS:
        follows(text, name, CASES[name][0][0])
    completion, example = Completion([], [], [], [], "eos", text), Example("x", [], "4")
    for pattern in ("think", "think_answer", "boxed", "answer_line"):
        format.Reward(pattern)(completion, example)
    for rule in ("share", "yuan"):
        language.Reward("zh", rule=rule)(completion, example)
    repetition.Reward("words")(completion, example)
    assert time.process_time() - began < 5

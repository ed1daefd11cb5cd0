# ruff: noqa: RUF001  (texts in their own letters)
from __future__ import annotations

from typing import Any

import pytest

from dapo.rewards.language import Reward
from dapo.types import Completion, Example
from dapo.verify.prose import prose
from dapo.verify.scripts import script_of, words


def score(text: str, language: Any = None, prompt: str = "?", columns: Any = None, **settings: Any) -> float:
    example = Example("x", [{"role": "user", "content": prompt}], "4", columns or {})
    return Reward(language=language, **settings)(Completion([], [], [], [], "eos", text), example).score


ENGLISH = "We add two and two, which makes four."
TEXTS = {
    "en": ENGLISH,
    "zh": "我们把二和二相加，得到四。",
    "cn": "我们把二和二相加，得到四。",
    "ja": "二と二を足すと四になります。コーヒー",
    "ko": "둘에 둘을 더하면 넷이 됩니다.",
    "ru": "Складываем два и два, получаем четыре.",
    "ar": "نجمع اثنين واثنين فنحصل على أربعة.",
    "hi": "दो और दो जोड़ने पर चार मिलता है।",
}


@pytest.mark.parametrize("language", TEXTS)
def test_each_text_is_in_its_own_language_and_english_is_not(language: str) -> None:
    assert score(TEXTS[language], language) == 1
    if language != "en":
        assert score(ENGLISH, language) == 0 and score(TEXTS[language], "en") == 0


@pytest.mark.parametrize("column", ["", None])
def test_no_language_is_no_verdict(column: str | None) -> None:
    """Yuan's code took an empty column for Chinese, and punished English answers."""
    assert score(ENGLISH, columns={"language": column}) == 1
    assert score(TEXTS["zh"], columns={"language": column}) == 1
    assert score(ENGLISH) == 1
    assert score(ENGLISH, rule="yuan", columns={"language": column}) == 1


def test_the_column_names_the_language() -> None:
    assert score(ENGLISH, columns={"language": "cn"}) == 0
    assert score(ENGLISH, columns={"language": "zh-CN"}) == 0
    assert score(ENGLISH, columns={"extra_info": {"language": "cn"}}, column="extra_info.language") == 0
    assert score(ENGLISH, "en", columns={"language": "cn"}) == 1
    with pytest.raises(ValueError, match="the language 'klingon' is unknown; known codes are ar, bg"):
        score(ENGLISH, columns={"language": "klingon"})


def test_the_share_is_of_words_and_of_chinese_by_character() -> None:
    """4 characters and 1 English word: 4 of 5 are Chinese; with 2 words 4 of 6."""
    assert score("我们相加 apples", "zh") == 1
    assert score("我们相加 apples pears", "zh") == 0
    assert score("我们相加 apples pears", "zh", graded=True) == pytest.approx(4 / 6)
    assert score("我们相加 apples pears", "zh", threshold=0.6) == 1
    assert score("one two three four 五", "en") == 1
    assert score("one two three 四五", "en") == 0


def test_variables_words_of_the_prompt_and_allowed_words_are_not_held_against_a_text() -> None:
    assert score("设 x 和 y", "zh", graded=True) == 1
    assert score("算 sin 和 Cos", "zh", graded=True, prompt="求 cos") == pytest.approx(2 / 3)
    assert score("算 sin 和 Cos", "zh", graded=True, prompt="求 cos", allowed=("SIN",)) == 1
    parts = [{"type": "image"}, {"type": "text", "text": "what is sin"}]
    example = Example("x", [{"role": "user", "content": parts}], "4")
    assert Reward("zh")(Completion([], [], [], [], "eos", "算 sin"), example).score == 1


def test_code_formulas_and_addresses_are_not_read() -> None:
    text = (
        "答案是 $sum + total$ 和 $$\\frac{apple}{pear}$$ 与 \\(left\\) 及 \\[right\\] `print` "
        "\\begin{align} long words here \\end{align} \\boxed{number} https://example.com/some/words\n"
        "```python\nprint(number)\n```完"
    )
    assert [word for word, _ in words(prose(text))] == list("答案是和与及完")
    assert score(text, "zh", graded=True) == 1
    assert score("$only + formulas$", "zh") == 1
    # What never closes is prose: opening a code block does not hide the rest.
    assert score("好 ```\nsome english words follow here", "zh") == 0


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("abcd 五", True),  # 1 of 5 letters: 0.2
        ("abcde 五", False),  # 1 of 6
        ("五", True),
        ("12", False),
    ],
)
def test_yuans_rule_for_english_counts_characters(text: str, bad: bool) -> None:
    assert score(text, "en", rule="yuan") == 1 - bad


@pytest.mark.parametrize(
    ("text", "method", "bad"),
    [
        ("加减乘除 word", "llm_math", True),  # 1 of 5: 0.2
        ("加减乘除法 word", "llm_math", False),  # 1 of 6
        ("加减乘除 word", "llm_code", False),
        ("加减乘除法一二 word word word", "llm_code", True),  # 3 of 10: 0.3
        ("加减乘除 x y z", "llm_math", False),
        ("加减乘除 asked", "llm_math", False),
        ("12", "llm_math", False),
    ],
)
def test_yuans_rule_for_chinese_counts_words(text: str, method: str, bad: bool) -> None:
    columns = {"language": "cn", "reward_method": method}
    assert score(text, rule="yuan", prompt="asked?", columns=columns) == 1 - bad


@pytest.mark.parametrize(
    ("method", "thinking", "judged"),
    [
        ("llm_math", False, True),
        ("llm_math", None, True),
        ("llm_math", True, False),  # Its reflection reward has the penalty.
        ("llm_code", True, True),
        ("rag_chatqa", False, True),
        ("mllm_grounding", False, False),
        ("sft_knowledge", False, False),
    ],
)
def test_yuan_spares_images_supervised_data_and_what_reflection_grades(
    method: str, thinking: bool | None, judged: bool
) -> None:
    columns = {"reward_method": method, "extra_info": {"enable_thinking_flag": thinking}}
    for rule in ("yuan", "share"):
        assert score("五六七", "en", columns=columns, rule=rule, rows="yuan") == 1 - judged
        assert score("五六七", "en", columns=columns, rule=rule) == 0


def test_yuans_rule_knows_no_other_language() -> None:
    assert score(ENGLISH, "ru", rule="yuan") == 1


def test_letters_and_words() -> None:
    assert [script_of(letter) for letter in "aéжא漢々ーＡ𝐱1 _\0"] == [
        *("LATIN", "LATIN", "CYRILLIC", "HEBREW", "CJK", "CJK", "KATAKANA", "LATIN", "LATIN"),
        *(None, None, None, None),
    ]
    assert list(words("don't 2x漢字aж हिन्दी cafe\u0301!")) == [
        *(("don't", "LATIN"), ("x", "LATIN"), ("漢", "CJK"), ("字", "CJK"), ("a", "LATIN")),
        *(("ж", "CYRILLIC"), ("हिन्दी", "DEVANAGARI"), ("cafe\u0301", "LATIN")),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "xx"}, "the language 'xx' is unknown"),
        ({"threshold": 0}, "threshold must lie in"),
        ({"rule": "yuan", "graded": True}, "rule: yuan has its own thresholds"),
        ({"rule": "yuan", "threshold": 0.7}, "rule: yuan has its own thresholds"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reward(**settings)

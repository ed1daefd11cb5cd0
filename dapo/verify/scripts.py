"""The words of a text and the writing systems they belong to."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})
"""Scripts that put no blanks between words: each letter counts as one."""

_ALIASES = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA"}
"""First words of character names that stand for another script: 々, ー."""

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"

_ONE_SCRIPT = {
    "LATIN": "en es pt fr de it nl pl vi sw fi sv da no tr cs ro hu id",
    "CYRILLIC": "ru uk bg sr",
    "ARABIC": "ar fa ur",
    "DEVANAGARI": "hi mr ne",
    "CJK": "zh cn",
    "HANGUL": "ko",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "MALAYALAM": "ml",
    "THAI": "th",
    "HEBREW": "he",
    "GREEK": "el",
}

SCRIPTS: Mapping[str, frozenset[str]] = {
    **{code: frozenset({script}) for script, codes in _ONE_SCRIPT.items() for code in codes.split()},
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
}
"""The scripts a language is written in, by its code (ISO 639-1; `cn` is what Yuan's data calls `zh`)."""


def language_code(name: str) -> str:
    """The key of SCRIPTS for a language tag: `zh-CN` is `zh`. Raises ValueError for an unknown one."""
    code = name.strip().lower().replace("_", "-").partition("-")[0]
    if code not in SCRIPTS:
        raise ValueError(f"the language {name!r} is unknown; known codes are {', '.join(sorted(SCRIPTS))}")
    return code


@cache
def script_of(character: str) -> str | None:
    """The script of a letter, as its Unicode name begins (`LATIN`, `CJK`); None for what is no letter.

    Full-width and mathematical letters have the script of the plain ones.
    """
    if not character.isalpha():
        return None
    plain = unicodedata.normalize("NFKC", character)[:1]
    first = unicodedata.name(plain, "").partition(" ")[0]
    return _ALIASES.get(first, first)


@cache
def _joins(character: str) -> bool:
    """Whether a character inside a word belongs to it: an accent, a vowel sign, an apostrophe."""
    return character in _APOSTROPHES or unicodedata.category(character)[0] == "M"


def words(text: str) -> Iterator[tuple[str, str]]:
    """The words of `text` in order, each with its script. Digits and signs are none.

    A word is a run of letters of one script, with its accents. In scripts without blanks each letter is one.
    """
    word, of = "", ""
    for character in text:
        script = script_of(character)
        if script is None:
            if word and _joins(character):
                word += character
                continue
        elif script == of and word and of not in _UNSPACED:
            word += character
            continue
        if word:
            yield word, of
        word, of = (character, script) if script is not None else ("", "")
    if word:
        yield word, of

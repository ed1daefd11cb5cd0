"""Comparing short texts: normalisation, exact match, token F1, edit distance, numbers."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from fractions import Fraction

from rapidfuzz.distance import Levenshtein

CJK = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters of Chinese, Japanese and Korean, as the inside of a regular expression's character class."""

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_ASCII_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_TOKEN = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_NUMBER = re.compile(r"([-+]?)[$€£¥]?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(\.[0-9]+)?%?")
_MAX_DIGITS = 4000  # Python refuses to read integers of more than 4300 digits.


def half_width(text: str) -> str:
    """Full-width letters, digits and punctuation as ASCII, accents composed."""
    return unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)


def one_line(text: str) -> str:
    """Runs of white space as one blank, none at the ends."""
    return " ".join(text.split())


def normalise(text: str) -> str:
    """SQuAD's normalisation (arXiv 1606.05250): lower case, no punctuation, no articles, single blanks.

    Punctuation of other scripts goes too, and full-width characters become ASCII. As in SQuAD, `3.5` and
    `35`, `-5` and `5` become equal. Where nothing would be left (`A`, `The The`, `?!`) less is taken away, so
    that only a blank text becomes empty.
    """
    lowered = one_line(half_width(text).lower())
    words = one_line(_without_punctuation(lowered))
    return one_line(_ARTICLES.sub(" ", words)) or words or lowered


def tokens(text: str) -> list[str]:
    """The words of the normalised text; of Chinese, Japanese and Korean the characters, as in MLQA
    (arXiv 1910.07475)."""
    return _TOKEN.findall(normalise(text))


def exact_match(prediction: str, gold: str) -> bool:
    """Whether the two are equal once normalised."""
    return normalise(prediction) == normalise(gold)


def token_f1(prediction: str, gold: str) -> float:
    """The harmonic mean of the shares of each other's tokens that two texts hold (SQuAD's F1).

    If one of them is blank: 1 if both are, else 0.
    """
    found, wanted = tokens(prediction), tokens(gold)
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def edit_distance(one: str, other: str) -> float:
    """Levenshtein's distance over the length of the longer text: 0 for equal ones, 1 if nothing is shared."""
    return float(Levenshtein.normalized_distance(one, other))


def as_number(text: str) -> Fraction | None:
    """The number that a text consists of, white space, currency and percent signs aside; None if it is more
    than a number, or none. There are no exponents."""
    match = _NUMBER.fullmatch(half_width(text[:_MAX_DIGITS]).strip().replace("\N{MINUS SIGN}", "-"))
    if match is None or len(text) > _MAX_DIGITS:
        return None
    digits = (match[2] or "").replace(",", "") + (match[3] or "")
    return Fraction(match[1] + digits) if digits else None


def _without_punctuation(text: str) -> str:
    text = text.translate(_ASCII_PUNCTUATION)
    if text.isascii():
        return text
    return "".join(character for character in text if not unicodedata.category(character).startswith("P"))

"""The language of a prompt by its script, in the names of Yuan3.0's data: `cn`, `en`."""

from __future__ import annotations

import re
import unicodedata

UNKNOWN = ""
"""Of a text without letters, and of rows that name no language where none is to be found out."""

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA_HANGUL = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def language_of(text: str) -> str:
    """`cn` with any Chinese character, as in Yuan3.0's preparation; `en` where Latin letters are the most.

    Kana or Hangul anywhere, or mostly letters of another script, make it `other`. A text without letters is
    of no language: the empty string.
    """
    if _KANA_HANGUL.search(text):
        return "other"
    if _HAN.search(text):
        return "cn"
    if text.isascii():
        return "en" if _LATIN.search(text) else UNKNOWN
    letters = sum(unicodedata.category(character).startswith("L") for character in text)
    latin = len(_LATIN.findall(text))
    return UNKNOWN if not letters else "en" if 2 * latin >= letters else "other"

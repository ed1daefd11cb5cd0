r"""Units after a number: what they look like, and what only looks like one.

An answer is asked for in one unit, so `15 cm`, `15 \text{ cm}^2` and `\$15` are 15. Words that change the
number (`5 million`, `3 squared`, `2 times`) and letters that may be variables (`10m`, `5 x`) are no units.
"""

from __future__ import annotations

import re

_SHORT = re.compile("[mcdkn]m|k?[gm]|mg|lb|oz|ft|in|yd|mi|[mcdhk]l|hr|ms|[ap]m|ha|au|k[JW]|Hz|Pa|eV")
_CHANGING = re.compile(
    "hundreds?|thousands?|millions?|billions?|trillions?|dozens?|score|half|halves|thirds?|fourths?|quarters?"
    "|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?|squared|cubed|factorial"
    "|times|plus|minus|over|roots?|divided|multiplied|modulo|mod|base|choose|pi|per|and|or|not|but|more|less|than|to|the|of|is|are"
    "|log|sin|cos|tan|sqrt|max|min|gcd|lcm|infinity",
    re.IGNORECASE,
)
_NUMBER_END = r"(?<=[0-9}%).])"
_IN_TEXT = re.compile(rf"{_NUMBER_END} ?\\text ?\{{[^{{}}]*\}}(?: ?\^ ?\{{?[23]\}}?)?$")
_DEGREES = re.compile(rf"{_NUMBER_END} ?\^\\circ ?[CF]?$")
_CURRENCY = re.compile(r"(?<=[0-9]) ?[$€£¥₹元]$")
_WORDS = re.compile(
    r"(?<=[0-9}%.]) (?P<words>[a-zA-Z]{2,20}(?:[ -][a-zA-Z]{2,20}){0,3})(?: ?\^ ?\{?[23]\}?)?$"
)


def without_unit(text: str) -> str:
    """Tidy text without the unit at its end, if it has one."""
    text = without_marked_unit(text)
    match = _WORDS.search(text)
    if match is None or not all(map(_is_unit, re.split("[ -]", match["words"]))):
        return text
    return text[: match.start()]


def without_marked_unit(text: str) -> str:
    r"""Tidy text without a degree sign, a currency or a `\text{...}` at its end."""
    for pattern in (_IN_TEXT, _DEGREES, _CURRENCY):
        match = pattern.search(text)
        if match is not None:
            return text[: match.start()].rstrip()
    return text


def _is_unit(word: str) -> bool:
    return _SHORT.fullmatch(word) is not None or (len(word) >= 3 and not _CHANGING.fullmatch(word))

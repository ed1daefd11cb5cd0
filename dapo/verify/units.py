r"""Units after a number: what they look like, and what only looks like one.

An answer is asked for in one unit, so `15 cm`, `15 \text{ cm}^2` and `\$15` are 15. `5 million` is 5,000,000.
Other words that change a number (`3 squared`) and letters that may be variables (`10m`, `5 x`) are no units.
"""

from __future__ import annotations

import re

_SHORT = re.compile("[mcdkn]m|k?[gm]|mg|lb|oz|ft|in|yd|mi|[mcdhk]l|hr|ms|[ap]m|ha|au|k[JW]|Hz|Pa|eV")
_CHANGING = re.compile(
    r"\b(?:hundreds?|thousands?|millions?|billions?|trillions?|dozens?|score|half|halves|thirds?|fourths?|quarters?"
    r"|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?|squared|cubed|factorial"
    r"|times|plus|minus|over|roots?|divided|multiplied|modulo|mod|base|choose|pi|per|and|or|not|but|more|less"
    r"|than|to|the|of|is|are|if|for|when|log|sin|cos|tan|sqrt|max|min|gcd|lcm|infinity)\b",
    re.IGNORECASE,
)
_NUMERALS = {
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_NUMERAL = re.compile(rf"(?<=[0-9]) ?(?:\\text ?\{{ ?)?({'|'.join(_NUMERALS)})\b(?: ?\}})?")
_NUMBER_END = r"(?<=[0-9}%).])"
_IN_TEXT = re.compile(rf"{_NUMBER_END} ?\\text ?\{{([^{{}}]*)\}}(?: ?\^ ?\{{?[23]\}}?)?$")
_SIGN = re.compile(rf"{_NUMBER_END} ?(?:\^\\circ ?[CF]?|[$€£¥₹元])$")
_WORDS = re.compile(r"(?<=[0-9}%.]) ([a-zA-Z]{2,20}(?:[ -][a-zA-Z]{2,20}){0,3})(?: ?\^ ?\{?[23]\}?)?$")


def without_unit(text: str) -> tuple[str, int]:
    """Tidy text without the unit at its end, if it has one, and the factor that a numeral stands for."""
    factor = 1
    if match := _NUMERAL.search(text):
        text, factor = text[: match.start()] + text[match.end() :], _NUMERALS[match[1]]
    for pattern in (_SIGN, _IN_TEXT, _WORDS):
        match = pattern.search(text)
        if match and (pattern is _SIGN or _is_unit(match[1], plain=pattern is _WORDS)):
            return text[: match.start()].rstrip(), factor
    return text, factor


def has_changing_word(text: str) -> bool:
    r"""True if a `\text{...}` in `text` says what changes a number, as `\text{ squared}` does."""
    return any(_CHANGING.search(match[1]) for match in _TEXT.finditer(text))


_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")


def _is_unit(words: str, plain: bool) -> bool:
    if _CHANGING.search(words):
        return False
    return not plain or all(len(word) >= 3 or _SHORT.fullmatch(word) for word in re.split("[ -]", words))

r"""Numbers in text, as exact fractions. Nothing is evaluated: what would not fit into memory is not read.

`read_number` takes a text that is one number and nothing else, in tidy spelling (see spelling.py);
`find_numbers` looks for plain numbers inside of prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 400
"""Numbers with more digits, as written or after their exponent is carried out, are not read."""

REPEATING_DIGITS = 6
"""From so many significant digits on, a decimal stands for the fraction that it is the start of."""


@dataclass(frozen=True)
class Number:
    """A number, and as much of its spelling as matters for whether it equals another one."""

    value: Fraction
    percent: bool = False
    places: int | None = None
    """Decimal places as written, less the exponent of ten; None for integers and fractions."""

    def __str__(self) -> str:
        """In lowest terms, without the percent sign: `18`, `-1/2`."""
        return str(self.value)

    def equals(self, other: Number) -> bool:
        """True for the same value. Also:

        - 28 % is 28 as well as 0.28, for both are written where a percentage is asked for;
        - a decimal of at least six significant digits is the fraction that it rounds or cuts off, where the
          fraction has no decimal of finite length: 0.333333 is 1/3, and 0.33 is not.
        """
        if self.value == other.value:
            return True
        if self.percent != other.percent:
            part, whole = (self, other) if self.percent else (other, self)
            return _same(Number(part.value / 100, places=_shifted(part.places)), whole)
        return _same(self, other)


def _shifted(places: int | None) -> int | None:
    return None if places is None else places + 2


def _same(one: Number, other: Number) -> bool:
    return one.value == other.value or _approximates(one, other.value) or _approximates(other, one.value)


def _approximates(decimal: Number, value: Fraction) -> bool:
    if decimal.places is None or _is_finite_decimal(value):
        return False
    unit = Fraction(10) ** -decimal.places
    return abs(decimal.value) >= unit * 10 ** (REPEATING_DIGITS - 1) and abs(decimal.value - value) < unit


def _is_finite_decimal(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_SIGN = r"(?P<sign>(?:[-+] ?)?)(?:[$€£¥₹] ?(?P<inner>-?))?"
_TIMES = (
    r"(?: ?(?:\\times|\\cdot|\*|x) ?10 ?(?:\^|\*\*) ?\{?(?P<power>[-+]?[0-9]{1,4})\}?"
    r"|[eE](?P<exponent>[-+]?[0-9]{1,4}))"
)
_FRACTION = rf"(?:\\frac ?\{{ ?(?P<top>-?{_DECIMAL}) ?\}} ?\{{ ?(?P<bottom>-?{_DECIMAL}) ?\}})"

_NUMBER = re.compile(
    rf"{_SIGN}(?:{_FRACTION}|(?P<whole>[0-9]+) ?\\frac ?\{{(?P<part>[0-9]+)\}} ?\{{(?P<parts>[0-9]+)\}}"
    rf"|(?P<mixed>[0-9]+) (?P<over>[0-9]+)/(?P<under>[0-9]+)"
    rf"|(?P<number>{_DECIMAL})(?: ?(?:/|\\div) ?(?P<divisor>{_DECIMAL})|{_TIMES})?"
    rf"|(?P<base>[0-9]{{1,6}})\^\{{?(?P<raised>-?[0-9]{{1,3}})\}}?)"
    r"(?P<percent> ?%)?"
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def read_number(text: str) -> Number | None:
    r"""The number that `text` is, in tidy spelling; None if it is none.

    Integers, decimals, `1,234`, `1/2`, `\frac{1}{2}`, `1\frac{1}{2}` and `1 1/2` (where the part is less than
    one), `1.5 \times 10^{3}`, `1.5e3`, `2^{10}`; with a sign, a currency before and a percent sign after it.
    """
    if _INTEGER.fullmatch(text):
        return Number(Fraction(int(text)))
    if len(text) > MAX_DIGITS:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    read = _value(match)
    if read is None:
        return None
    value, places = read
    negative = (match["sign"][:1] == "-") != (match["inner"] == "-")
    return Number(-value if negative else value, match["percent"] is not None, places)


def _value(match: re.Match[str]) -> tuple[Fraction, int | None] | None:
    """Value without its sign, and decimal places."""
    if match["top"]:
        return _quotient(_plain(match["top"]), _plain(match["bottom"]))
    if match["whole"]:
        return _mixed(match["whole"], match["part"], match["parts"])
    if match["mixed"]:
        return _mixed(match["mixed"], match["over"], match["under"])
    if match["base"]:
        return _power(int(match["base"]), int(match["raised"]))
    number = match["number"]
    if match["divisor"]:
        return _quotient(_plain(number), _plain(match["divisor"]))
    exponent = int(match["power"] or match["exponent"] or "0")
    if abs(exponent) > MAX_DIGITS:
        return None
    _, point, decimals = number.partition(".")
    places = len(decimals) - exponent if point and decimals else None
    return _plain(number) * Fraction(10) ** exponent, places


def _plain(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").rstrip("."))


def _quotient(top: Fraction, bottom: Fraction) -> tuple[Fraction, None] | None:
    return (top / bottom, None) if bottom else None


def _mixed(whole: str, part: str, parts: str) -> tuple[Fraction, None] | None:
    """`3\\frac{7}{2}` may as well be a product, and is not read."""
    return (int(whole) + Fraction(int(part), int(parts)), None) if int(part) < int(parts) else None


def _power(base: int, exponent: int) -> tuple[Fraction, None] | None:
    if len(str(base)) * abs(exponent) > MAX_DIGITS or (base == 0 and exponent <= 0):
        return None
    return Fraction(base) ** exponent, None


# A minus right after a digit, a letter or a closing bracket is a subtraction or a hyphen, not a sign.
_IN_PROSE = re.compile(
    r"(?P<sign>(?:(?<![\w)}\]])[-+])?(?:\$-?)?)"
    r"(?:\\[dt]?frac\{(?P<top>\d+)\}\{(?P<bottom>\d+)\}"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)?(?P<decimals>\.\d+)?(?:/(?P<over>\d+))?)"
)

_SPELLINGS = (("\N{MINUS SIGN}", "-"), ("\\$", "$"), ("{,}", ","), ("\\,", ""), ("\\!", ""))


def find_numbers(text: str) -> list[Fraction]:
    """All plain numbers in `text`, in order; exponents are not read."""
    for spelling, plain in _SPELLINGS:
        text = text.replace(spelling, plain)
    values = (_value_in_prose(match) for match in _IN_PROSE.finditer(text))
    return [value for value in values if value is not None]


def _value_in_prose(match: re.Match[str]) -> Fraction | None:
    top, bottom = match["top"], match["bottom"] or match["over"] or "1"
    digits = top or (match["whole"] or "").replace(",", "") + (match["decimals"] or "")
    if not digits or int(bottom) == 0:
        return None
    sign = -1 if "-" in match["sign"] else 1
    return sign * Fraction(digits) / int(bottom)

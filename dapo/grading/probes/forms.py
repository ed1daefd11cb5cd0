"""Other ways to write an answer that mean the same: what models do with a gold answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

Form = tuple[str, str]
"""What was done to the answer, in a few words, and the result."""

_NUMBER = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]{1,40})(?:\.(?P<decimals>[0-9]{1,40}))?")
_FRACTION = re.compile(r"(?P<sign>-?)(?P<top>[0-9]{1,20})/(?P<bottom>[0-9]{1,20})")
_LATEX_FRACTION = re.compile(r"(?P<sign>-?)\\frac\{(?P<top>[0-9]{1,20})\}\{(?P<bottom>[0-9]{1,20})\}")
_LONGEST = 200
"""Characters of an answer from which on it is a document, such as a list of tests, and has no other forms."""


def ornaments(answer: str) -> Iterator[Form]:
    """What stands around an answer. The answer itself stays."""
    if len(answer) > _LONGEST or not answer.strip():
        return
    yield "bold", f"**{answer}**"
    yield "dollar signs", f"${answer}$"
    yield "\\( \\)", f"\\({answer}\\)"
    yield "in a box", f"\\boxed{{{answer}}}"
    yield "in backticks", f"`{answer}`"
    yield "in quotation marks", f'"{answer}"'
    yield "in brackets", f"({answer})"
    yield "period behind", f"{answer}."
    yield from blanks(answer)


def blanks(answer: str) -> Iterator[Form]:
    """Blanks around an answer."""
    if len(answer) <= _LONGEST and answer.strip():
        yield "blanks around", f"   {answer}  "


def words(answer: str) -> Iterator[Form]:
    """Upper and lower case of an answer that is words, or the letter of an option. A formula has neither."""
    if len(answer) > _LONGEST or not re.fullmatch(r"[A-Z]|[^\W\d_]{3,}([ '-]+[^\W\d_]{2,})*", answer):
        return
    for name, text in (("lower case", answer.lower()), ("upper case", answer.upper())):
        if text != answer:
            yield name, text


def numbers(answer: str) -> Iterator[Form]:
    """An integer, a decimal or a fraction, spelt otherwise."""
    if match := _NUMBER.fullmatch(answer):
        sign, whole, decimals = match["sign"], match["whole"], match["decimals"]
        if len(whole) > 3:
            yield "thousands separators", answer.replace(whole, f"{int(whole):,}", 1)
        if decimals is None:
            yield "decimal zero", f"{answer}.0"
            yield "two decimal zeros", f"{answer}.00"
        else:
            yield "trailing zero", f"{answer}0"
        if decimals is not None and int(whole) == 0:
            yield "no zero before the point", f"{sign}.{decimals}"
        if not sign:
            yield "plus sign", f"+{answer}"
        else:
            yield "Unicode minus", answer.replace("-", "\N{MINUS SIGN}")
        yield "leading zero", f"{sign}0{answer.removeprefix('-')}"
        if decimals is not None and len(decimals) <= 4 and int(whole) < 10**6:
            yield "as a fraction", str(Fraction(answer))
    elif (match := _FRACTION.fullmatch(answer) or _LATEX_FRACTION.fullmatch(answer)) and int(match["bottom"]):
        yield from _as_decimal(Fraction(int(match["sign"] + match["top"]), int(match["bottom"])))


def _as_decimal(value: Fraction) -> Iterator[Form]:
    """Where it has few places."""
    for places in range(1, 5):
        shifted = value * 10**places
        if shifted.denominator == 1 and abs(shifted) < 10**12:
            digits = f"{abs(shifted.numerator):0{places + 1}d}"
            sign = "-" if shifted < 0 else ""
            yield "as a decimal", f"{sign}{digits[:-places]}.{digits[-places:]}"
            return


def units(answer: str) -> Iterator[Form]:
    """A number with what it may be a number of."""
    if not _NUMBER.fullmatch(answer):
        return
    yield "percent sign", f"{answer}%"
    yield "percent in LaTeX", f"{answer}\\%"
    yield "currency before", f"${answer}"
    yield "dollars", f"{answer} dollars"
    yield "degrees", f"{answer}^\\circ"
    yield "cm", f"{answer} cm"
    yield "cm in LaTeX", f"{answer}\\text{{ cm}}"


def latex(answer: str) -> Iterator[Form]:
    """The same in other LaTeX."""
    if len(answer) > _LONGEST:
        return
    yield from _latex_of_numbers(answer)
    for name, old, new in (
        ("\\dfrac", "\\frac", "\\dfrac"),
        ("\\tfrac", "\\frac", "\\tfrac"),
        ("no \\left, \\right", "\\left", ""),
        ("no blanks", " ", ""),
    ):
        if old in answer and "\\" in answer and (old != " " or "\\text" not in answer):
            yield name, _replaced(answer, old, new)
    if answer.count("(") == answer.count(")") > 0 and "\\left" not in answer:
        yield "\\left( \\right)", answer.replace("(", "\\left(").replace(")", "\\right)")
    if inner := re.fullmatch(r"\\text\{([^{}]*)\}", answer):
        yield "no \\text", inner[1]
    elif answer.isalpha():
        yield "\\text{}", f"\\text{{{answer}}}"
    if re.search(r"\^[0-9a-z](?![0-9a-z])", answer):
        yield "braces around exponents", re.sub(r"\^([0-9a-z])(?![0-9a-z])", r"^{\1}", answer)
    if re.search(r"\\sqrt\{[0-9a-z]\}", answer):
        yield "no braces under roots", re.sub(r"\\sqrt\{([0-9a-z])\}", r"\\sqrt \1", answer)


def _replaced(answer: str, old: str, new: str) -> str:
    answer = answer.replace(old, new)
    return answer.replace("\\right", "") if old == "\\left" else answer


def _latex_of_numbers(answer: str) -> Iterator[Form]:
    if (match := _NUMBER.fullmatch(answer)) and len(match["whole"]) > 3:
        grouped = f"{int(match['whole']):,}"
        for separator in ("{,}", "\\,", ",\\!"):
            yield f"thousands by {separator}", answer.replace(match["whole"], grouped.replace(",", separator))
    if match := _FRACTION.fullmatch(answer):
        for command in ("\\frac", "\\dfrac"):
            yield command, f"{match['sign']}{command}{{{match['top']}}}{{{match['bottom']}}}"
    elif match := _LATEX_FRACTION.fullmatch(answer):
        yield "a/b", f"{match['sign']}{match['top']}/{match['bottom']}"

r"""Equality by computer algebra: math-verify, behind a guard.

math-verify reads LaTeX with a grammar, never as Python. Its own time limits rest on signals, which work in
the main thread only, and are switched off: a deadline has to be enforced from outside, by a process that can
be killed. The guard keeps out what would not end, or not fit into memory: it bounds lengths, nesting,
exponents, factorials and binomials by what is written, before anything is computed.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

from dapo.verify.spelling import as_latex, closing
from dapo.verify.units import has_changing_word

MAX_CHARACTERS = 500
MAX_SYMBOLS = 200
"""Bound on commands, numbers and characters other than blanks."""
MAX_SUBSCRIPTS = 24
MAX_NESTING = 8
MAX_DIGITS = 60
MAX_EXPONENT = 5000
"""Bound on an exponent and on the product of all integers in it."""
MAX_POWER_OF_GROUP = 200
"""Bound on the exponent of a bracket, such as (x + 1)^{200}, and on the product of all of these."""
MAX_COMBINATORIAL = 1000
"""Bound on what stands before `!`, and in a binomial."""

_REFUSED = re.compile(r"\\(?:i*int|oint|prod|choose|bigcup|bigcap|Gamma|zeta)(?![a-zA-Z])|![ )}]*!")
_NAMED_GROUP = re.compile(r"\\(?:text|begin|end) ?\{[^{}]*\}")
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}")
_SYMBOL = re.compile(r"\\[a-zA-Z]+|[0-9.]+|\S")
_INTEGER = re.compile(r"[0-9]+")
_LONG_INTEGER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1},}}")
_BEFORE_FACTORIAL = re.compile(r"([0-9]+|[)}\]]) *!")
_BINOMIAL = re.compile(r"\\[dt]?binom *")
_TRANSCENDENTAL = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|exp|arc[a-z]+)")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?|[a-zA-Z]|\\[a-z]+ ?)\^\\circ")


@lru_cache(maxsize=4096)
def same_by_algebra(one: str, gold: str) -> bool:
    """True if math-verify finds two tidy answers equal. False if not, and for what the guard keeps out."""
    spelled = [as_latex(text) for text in (one, gold)]
    if not all(map(is_harmless, spelled)):
        return False
    return _verify(*(_degrees_as_radians(text) for text in spelled))


def is_harmless(text: str) -> bool:
    """True if computing with `text` ends within memory, as far as its spelling tells."""
    return (
        0 < len(text) <= MAX_CHARACTERS
        and len(_SYMBOL.findall(text)) <= MAX_SYMBOLS
        and text.count("_") <= MAX_SUBSCRIPTS
        and _nesting(text) <= MAX_NESTING
        and _LONG_INTEGER.search(text) is None
        and _REFUSED.search(text) is None
        and not _has_words(text)
        and _exponents_are_small(text)
        and _factorials_are_small(text)
    )


def _has_words(text: str) -> bool:
    """Words are not for a parser of formulas: it would drop some, and multiply the letters of others."""
    return has_changing_word(text) or _WORD.search(_NAMED_GROUP.sub("", text)) is not None


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _exponents_are_small(text: str) -> bool:
    plain, of_groups = 1, 1
    for match in re.finditer(r" *\^ *", text):
        exponent = _argument(text, match.end())
        rest = text[match.end() :].lstrip()[len(exponent) :].lstrip()
        if rest.startswith("^") or re.search(r"[0-9)}\]] *\^(?! *\\circ)|!|binom", exponent):
            return False
        size = _product(exponent)
        if text[: match.start()].endswith((")", "}", "]")):
            of_groups *= size
        plain = max(plain, size)
    # The sine of a number takes as many digits as the number has.
    bound = MAX_POWER_OF_GROUP if _TRANSCENDENTAL.search(text) else MAX_EXPONENT
    return of_groups <= MAX_POWER_OF_GROUP and plain * of_groups <= bound


def _factorials_are_small(text: str) -> bool:
    arguments = []
    for match in _BEFORE_FACTORIAL.finditer(text):
        digits = match[1].isdigit()
        arguments.append(match[1] if digits else text[: match.start() + 1][_opening(text, match.start()) :])
    for match in _BINOMIAL.finditer(text):
        upper = _argument(text, match.end())
        arguments += [upper, _argument(text, match.end() + len(upper))]
    return all("^" not in found and _product(found) <= MAX_COMBINATORIAL for found in arguments)


def _argument(text: str, start: int) -> str:
    """What a command or `^` before `start` applies to: a group, a number, a command, or a character."""
    start += len(text[start:]) - len(text[start:].lstrip(" "))
    if text[start : start + 1] in ("{", "("):
        end = closing(text, start)
        return text[start:] if end is None else text[start : end + 1]
    match = re.compile(r"-?[0-9]+|-?\\?[a-zA-Z]+|.?", re.DOTALL).match(text, start)
    return match[0] if match else ""


def _opening(text: str, end: int) -> int:
    """Where the bracket that closes at `end` opens; 0 if nowhere."""
    depth = 0
    for position in range(end, -1, -1):
        depth += (text[position] in ")]}") - (text[position] in "([{")
        if depth == 0:
            return position
    return 0


def _product(text: str) -> int:
    product = 1
    for digits in _INTEGER.findall(text):
        product *= max(int(digits), 1)
        if product > MAX_EXPONENT:
            break
    return product


def _degrees_as_radians(text: str) -> str:
    """Degrees in a trigonometric function are radians times pi / 180; elsewhere they are a unit, and go."""
    if _TRIGONOMETRIC.search(text):
        return _DEGREES.sub(r"(\1 \\cdot \\frac{\\pi}{180})", text)
    return text.replace(r"^\circ", "")


def _verify(one: str, gold: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    # They would warn, once each, that their own time limits are off.
    for part in ("parser", "grader"):
        logging.getLogger(f"math_verify.{part}").setLevel(logging.ERROR)
    read = [
        [_complex(form) for form in parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)]
        for text in (one, gold)
    ]
    return bool(verify(read[1], read[0], timeout_seconds=None))


def _complex(form: Any) -> Any:
    """An expression whose only letter is i is a complex number."""
    from sympy import Expr, I

    letters = form.free_symbols if isinstance(form, Expr) else set()
    if {symbol.name for symbol in letters} != {"i"}:
        return form
    return form.subs(dict.fromkeys(letters, I))

r"""Equality by computer algebra: math-verify, behind a guard.

math-verify reads LaTeX with a grammar, never as Python. Its own time limits rest on signals, which work in
the main thread only, and are switched off: a deadline has to be enforced from outside, by a process that can
be killed. The guard keeps out what is certain not to end, or not to fit into memory: it bounds lengths,
nesting, exponents, factorials and binomials by what is written, before anything is computed.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

from dapo.verify.spelling import as_latex, closing

MAX_CHARACTERS = 500
MAX_NESTING = 12
MAX_DIGITS = 60
MAX_EXPONENT = 5000
"""Bound on an exponent and on the product of all integers in it."""
MAX_POWER_OF_GROUP = 200
"""Bound on the exponent of a bracket, such as (x + 1)^{200}, and on the product of all of these."""
MAX_COMBINATORIAL = 1000
"""Bound on what stands before `!`, and in a binomial."""

_REFUSED = re.compile(r"\\(?:i*int|oint|prod|choose|bigcup|bigcap)(?![a-zA-Z])|![ )}]*!")
_INTEGER = re.compile(r"[0-9]+")
_LONG_INTEGER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1},}}")
_BEFORE_FACTORIAL = re.compile(r"([0-9]+|[)}\]]) *!")
_BINOMIAL = re.compile(r"\\[dt]?binom *")
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
        and _nesting(text) <= MAX_NESTING
        and _LONG_INTEGER.search(text) is None
        and _REFUSED.search(text) is None
        and _exponents_are_small(text)
        and _factorials_are_small(text)
    )


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
        if re.search(r"[0-9)}\]] *\^(?! *\\circ)|!|binom", exponent):
            return False
        size = _product(exponent)
        if text[: match.start()].endswith((")", "}", "]")):
            of_groups *= size
        plain = max(plain, size)
    return of_groups <= MAX_POWER_OF_GROUP and plain * of_groups <= MAX_EXPONENT


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

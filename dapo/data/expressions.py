"""Exact values of arithmetic expressions such as `(3+4.5)*2/7`. Nothing is ever evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

MAX_CHARACTERS = 1000

_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|[-+*/()])", re.ASCII)

_BINARY: Mapping[str, tuple[int, Callable[[Fraction, Fraction], Fraction]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.truediv),
}
_SIGNS = {"+": 1, "-": -1}
_SIGN_LEVEL = 3


def value_of(expression: str) -> Fraction:
    """The value of numbers joined by `+ - * /` and parentheses, with the usual precedence and signs.

    Raises ValueError for anything else, for a division by zero, and beyond `MAX_CHARACTERS` characters.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ValueError(f"an expression may have at most {MAX_CHARACTERS} characters, not {len(expression)}")
    machine = _Machine()
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"{expression!r}: {expression[position]!r} does not belong to arithmetic")
        machine.read(match[1], expression)
        position = match.end()
    return machine.finish(expression)


def text_of(value: Fraction) -> str:
    """`24`, `0.5`, `-1.25`; as a fraction in lowest terms (`1/3`) where the decimals would not end."""
    twos_and_fives = value.denominator
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives != 1 or value.denominator == 1:
        return str(value)
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


class _Machine:
    """Two stacks, as in Dijkstra's shunting-yard algorithm: the depth of an expression costs no recursion."""

    def __init__(self) -> None:
        self._values: list[Fraction] = []
        self._operators: list[tuple[int, Callable[[Fraction, Fraction], Fraction] | None]] = []
        self._expects_value = True

    def read(self, token: str, expression: str) -> None:
        if token[0].isdigit() or token[0] == ".":
            self._require(self._expects_value, expression)
            self._values.append(Fraction(token))
            self._expects_value = False
        elif token == "(":
            self._require(self._expects_value, expression)
            self._operators.append((0, None))
        elif token == ")":
            self._require(not self._expects_value, expression)
            self._reduce(1)
            self._require(bool(self._operators), expression)
            self._operators.pop()
        elif self._expects_value:
            self._require(token in _SIGNS, expression)
            self._values.append(Fraction(_SIGNS[token]))
            self._operators.append((_SIGN_LEVEL, operator.mul))
        else:
            level, function = _BINARY[token]
            self._reduce(level)
            self._operators.append((level, function))
            self._expects_value = True

    def finish(self, expression: str) -> Fraction:
        self._require(not self._expects_value, expression)
        self._reduce(1)
        self._require(not self._operators, expression)
        return self._values.pop()

    def _reduce(self, level: int) -> None:
        """Applies the operators at the top of the stack that bind at least as tightly as `level`."""
        while self._operators and self._operators[-1][0] >= level:
            function = self._operators.pop()[1]
            assert function is not None
            right, left = self._values.pop(), self._values.pop()
            if function is operator.truediv and right == 0:
                raise ValueError("division by zero")
            self._values.append(function(left, right))

    def _require(self, condition: bool, expression: str) -> None:
        if not condition:
            raise ValueError(f"{expression!r} is not a complete arithmetic expression")

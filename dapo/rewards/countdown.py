"""Countdown: an equation over given numbers, each used exactly once, must give the target.

The equation is the last `<answer>...</answer>` of the completion, or what follows its last `Answer:`. An
equals sign and what follows it are not read. It is parsed, never evaluated as code: integers, + - * / and
brackets, computed as fractions.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from dapo.types import Completion, Example, Score

_TAGGED = re.compile(r"<answer>([^<]*)</answer>")
_LINE = re.compile(r"answer\**\s*:([^\n]*)", re.IGNORECASE)
_SPELLINGS = {
    **{"\N{MULTIPLICATION SIGN}": "*", "\N{MIDDLE DOT}": "*", "\\times": "*", "\\cdot": "*"},
    **{"\N{DIVISION SIGN}": "/", "\\div": "/", "\N{MINUS SIGN}": "-"},
}
_ARITHMETIC = re.compile(r"[\d\s()+*/-]+", re.ASCII)
_LONGEST = 200

_OPERATIONS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Reward:
    """1 if the equation uses the numbers of the example's column `nums` once each and gives its answer.

    `Score.answer` is the equation. `format_score` is for an equation of the right numbers and another value:
    0.1 in TinyZero's reward, which keeps all-wrong groups alive that differ in form only; 0 here.
    """

    name: ClassVar[str] = "countdown"

    format_score: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.format_score < 1:
            raise ValueError(
                f"format_score must lie in [0, 1), below a right answer's, not {self.format_score}"
            )

    def __call__(self, completion: Completion, example: Example) -> Score:
        equation = find(completion.text)
        if equation is None:
            return Score(score=0.0)
        tree = _parse(equation)
        if tree is None or _numbers(tree) != _given(example):
            return Score(score=0.0, answer=equation)
        right = _value(tree) == Fraction(example.answer)
        return Score(score=1.0 if right else self.format_score, answer=equation)


def _given(example: Example) -> Counter[int]:
    if "nums" not in example.columns:
        raise ValueError(
            f"example {example.id} has no column `nums` with the numbers to use; see task countdown"
        )
    return Counter(int(number) for number in example.columns["nums"])


def find(text: str) -> str | None:
    """The equation in a completion; None where there is none."""
    found = _TAGGED.findall(text) or _LINE.findall(text)
    equation = found[-1].partition("=")[0].strip().strip("$*`. ") if found else ""
    return equation or None


def _parse(equation: str) -> ast.expr | None:
    """The tree of an equation; None if it is not made of integers, + - * / and brackets."""
    for spelling, plain in _SPELLINGS.items():
        equation = equation.replace(spelling, plain)
    if len(equation) > _LONGEST or not _ARITHMETIC.fullmatch(equation):
        return None
    try:
        tree = ast.parse(equation.strip(), mode="eval").body
    except SyntaxError:
        return None
    return tree if _is_arithmetic(tree) else None


def _is_arithmetic(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in _OPERATIONS and _is_arithmetic(tree.left) and _is_arithmetic(tree.right)
    return isinstance(tree, ast.Constant) and isinstance(tree.value, int)


def _numbers(tree: ast.expr) -> Counter[int]:
    return Counter(int(str(node.value)) for node in ast.walk(tree) if isinstance(node, ast.Constant))


def _value(tree: ast.expr) -> Fraction | None:
    """What the tree comes to; None where it divides by zero."""
    if isinstance(tree, ast.Constant):
        return Fraction(str(tree.value))
    assert isinstance(tree, ast.BinOp)
    left, right = _value(tree.left), _value(tree.right)
    if left is None or right is None or (isinstance(tree.op, ast.Div) and right == 0):
        return None
    return _OPERATIONS[type(tree.op)](left, right)

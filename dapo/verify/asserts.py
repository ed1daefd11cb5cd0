"""Assert statements taken apart: what the code has to compute, and what it is compared with.

`assert f(2) == 3` becomes the value `f(2)`, computed where the code runs, and the comparison with 3, made
here. So the code is not told what is expected of it, and objects that claim to equal everything, an early
exit, or a forged message prove nothing. What cannot be taken apart (`assert any(f(x) > y for y in ys)`) is
computed as a whole where the code runs.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from dapo.verify.values import Opaque, decode

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "round": round,
    "isclose": math.isclose,
    "math.isclose": math.isclose,
}
"""What is computed here where an expected value stands inside: `abs(f(2) - 3) < 1e-6`."""

_UNLIKE_LAMBDAS = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
"""What means something else once it is moved into a function of its own."""

Judge = Callable[[Sequence[Any]], Any]
"""From the values that the code computed to the truth of an assertion."""


@dataclass
class Assertions:
    """Assertions taken apart."""

    source: str = ""
    """To be run beside the code: notes the values of every assertion, case by case."""
    judges: list[Judge] = field(default_factory=list)
    """The judge of each assertion, by its number in the notes."""
    cases: int = 0

    def passed(self, notes: Sequence[Any]) -> list[bool]:
        """Which cases ran to their end with every assertion true."""
        passed, place, good = [False] * self.cases, -1, False
        for note in notes:
            match note:
                case ["begin", int(place)]:
                    good = True
                case ["value", int(number), list(values)] if 0 <= number < len(self.judges):
                    good = good and _holds(self.judges[number], values)
                case ["end", int(ended), str(error)] if ended == place and 0 <= place < self.cases:
                    passed[place], good = good and not error, False
        return passed


def take_apart(tests: Sequence[str]) -> Assertions:
    """Each text is a case: assertions, and whatever they need before.

    Raises:
        SyntaxError: if a test is no Python.
    """
    found = Assertions(cases=len(tests))
    blocks = [_block(place, ast.parse(text), found) for place, text in enumerate(tests)]
    found.source = ast.unparse(ast.fix_missing_locations(ast.Module(blocks, [])))
    return found


def _block(place: int, tree: ast.Module, found: Assertions) -> ast.stmt:
    body = [_Rewrite(found).visit(statement) for statement in tree.body]
    case = _call("_dapo_case", [ast.Constant(place)])
    return ast.With([ast.withitem(case)], body or [ast.Pass()])


class _Rewrite(ast.NodeTransformer):
    """Puts a note of its values in the place of every assertion."""

    def __init__(self, found: Assertions) -> None:
        self._found = found

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        if any(isinstance(part, _UNLIKE_LAMBDAS) for part in ast.walk(node.test)):
            return node
        asked: list[ast.expr] = []
        judge = _truth(node.test, asked)
        self._found.judges.append(judge)
        values = [_later(part) for part in asked]
        return ast.Expr(_call("_dapo_value", [ast.Constant(len(self._found.judges) - 1), *values]))


def _call(name: str, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])


def _later(node: ast.expr, *names: str) -> ast.expr:
    """A function that computes `node` when it is called."""
    parameters = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
    return ast.Lambda(parameters, node)


def _holds(judge: Judge, values: Sequence[Any]) -> bool:
    """Values of any kind come back, and may not be comparable with what is expected."""
    try:
        return bool(judge(values))
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError):
        return False


def _truth(node: ast.expr, asked: list[ast.expr]) -> Judge:
    """How the truth of `node` follows from the values of the expressions that it adds to `asked`."""
    match node:
        case ast.BoolOp(op, parts):
            judges = [_truth(part, asked) for part in parts]
            settle = all if isinstance(op, ast.And) else any
            return lambda values: settle(judge(values) for judge in judges)
        case ast.UnaryOp(ast.Not(), inner):
            negated = _truth(inner, asked)
            return lambda values: not negated(values)
        case ast.Compare(left, comparisons, others):
            sides = [left, *others]
            if any(_is_literal(side) or _is_outside(side) for side in sides):
                return _comparison(sides, comparisons, asked)
            if len(sides) == 2:
                return _pair(sides, comparisons[0], asked)
    return _value(node, asked)


def _comparison(sides: list[ast.expr], comparisons: list[ast.cmpop], asked: list[ast.expr]) -> Judge:
    parts = [_value(side, asked) for side in sides]
    compare = [_COMPARISONS[type(comparison)] for comparison in comparisons]

    def judge(values: Sequence[Any]) -> bool:
        found = [part(values) for part in parts]
        return all(one(*pair) for one, pair in zip(compare, pairwise(found), strict=True))

    return judge


def _pair(sides: list[ast.expr], comparison: ast.cmpop, asked: list[ast.expr]) -> Judge:
    """Both sides are computed where the code runs; its comparison counts only for objects of its own."""
    place, compare = len(asked), _COMPARISONS[type(comparison)]
    left, right = ast.Name("left", ast.Load()), ast.Name("right", ast.Load())
    all_three = ast.Tuple([left, right, ast.Compare(left, [comparison], [right])], ast.Load())
    asked.append(ast.Call(_later(all_three, "left", "right"), sides, []))

    def judge(values: Sequence[Any]) -> Any:
        first, second, verdict = decode(values[place])
        if isinstance(first, Opaque) and isinstance(second, Opaque):
            return verdict
        return compare(first, second)

    return judge


def _value(node: ast.expr, asked: list[ast.expr]) -> Judge:
    """How the value of `node` follows from the values of the expressions that it adds to `asked`."""
    if _is_literal(node):
        constant = _literal(node)
        return lambda values: constant
    match node:
        case ast.Call(function, arguments, words) if _is_outside(node):
            parts = [_operand(argument, asked) for argument in arguments]
            named = {str(word.arg): _literal(word.value) for word in words}
            compute = _FUNCTIONS[ast.unparse(function)]
            return lambda values: compute(*(part(values) for part in parts), **named)
    place = len(asked)
    asked.append(node)
    return lambda values: decode(values[place])


def _operand(node: ast.expr, asked: list[ast.expr]) -> Judge:
    """As `_value`, and differences and sums with an expected value are computed here."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            first, second, compute = _operand(left, asked), _operand(right, asked), _ARITHMETIC[type(op)]
            return lambda values: compute(first(values), second(values))
    return _value(node, asked)


def _is_outside(node: ast.expr) -> bool:
    """Whether it is a function that is computed here, of something that is computed where the code runs."""
    match node:
        case ast.Call(function, [first, *others], words) if ast.unparse(function) in _FUNCTIONS:
            known = all(word.arg is not None and _is_literal(word.value) for word in words)
            if ast.unparse(function).endswith("isclose"):
                return known and len(others) == 1 and not (_is_literal(first) and _is_literal(others[0]))
            return known and isinstance(first, ast.BinOp) and all(_is_literal(other) for other in others)
    return False


def _is_literal(node: ast.expr) -> bool:
    try:
        _literal(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _literal(node: ast.expr) -> Any:
    """The value of a literal, `float("inf")` among them. Raises ValueError or TypeError for all else."""
    match node:
        case ast.Call(ast.Name("float"), [ast.Constant(str(text))], []):
            return float(text)
    return ast.literal_eval(node)

"""Tool calls in what a model wrote. They are parsed, never evaluated."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dapo.verify.blocks import fenced_blocks
from dapo.verify.json_text import canonical, last_json, parse

_MAX_STRUCTURE = 10_000
"""How many characters there may be outside of strings. Each may open a level of the syntax tree."""
_MAX_LINES = 100

_TAGGED = re.compile(r"<tool_call>([^<]*(?:<(?!/?tool_call>)[^<]*)*)(?:</tool_call>|\Z)")
_QUOTE = re.compile(r"(?P<prefix>[A-Za-z]*)(?P<quote>\'\'\'|\"\"\"|['\"])")
_STRING_ENDS = {
    "'": re.compile(r"(?:[^'\\\n]|\\.)*'", re.DOTALL),
    '"': re.compile(r'(?:[^"\\\n]|\\.)*"', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*'''", re.DOTALL),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*"""', re.DOTALL),
}
_ATTEMPT = re.compile(r"\s*(?:\[\s*)?[A-Za-z_][\w.]{0,200}\(")
_JSON_ATTEMPT = re.compile(r"\s*(?:\[\s*)?\{\s*\"(?:name|function|type|arguments|parameters)\"")
_NAMES: Mapping[str, object] = {"true": True, "false": False, "null": None}
"""Constants of JSON that models write among those of Python."""


@dataclass(frozen=True)
class Call:
    """A call of a tool, its arguments in the form of `json_text.canonical`."""

    name: str
    positional: tuple[str, ...] = ()
    named: frozenset[tuple[str, str]] = frozenset()


def calls_in(text: str) -> list[Call] | None:
    """The calls that a text makes; an empty list for none; None if it tries to, and they are malformed.

    Read are, the first of these that there is:

    - `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, each tag a call (Hermes, Qwen);
    - the whole text, the last fenced block, the last line, or what stands between the first and the last
      square bracket, as a JSON call, a list of them or one on each line, or Python calls
      `[f(a=1), g(b="x")]` (BFCL), whose arguments are literals;
    - the last JSON in the text.

    A JSON call may have `parameters` for `arguments`, have them as JSON text, and stand inside
    `{"type": "function", "function": {...}}`.
    """
    tagged = [match[1] for match in _TAGGED.finditer(text)]
    if tagged:
        each = [_parsed(part) for part in tagged]
        return [call for calls in each for call in calls or ()] if all(each) else None
    attempted = False
    for part in _places(text):
        calls = _parsed(part)
        if calls is not None:
            return calls
        attempted = attempted or bool(_ATTEMPT.match(part) or _JSON_ATTEMPT.match(part))
    calls = _of_json(last_json(text))
    return calls or (None if attempted else [])


def matched(found: Sequence[Call], gold: Sequence[Call]) -> tuple[int, int, int]:
    """How many pairs, one to one, are equal, share only the name, or are left over on both sides.

    Calls that are equal have the same name, so taking all equal pairs first, then all of one name, pairs as
    much as any assignment could.
    """
    equal = (Counter(found) & Counter(gold)).total()
    same_name = (Counter(call.name for call in found) & Counter(call.name for call in gold)).total()
    return equal, same_name - equal, min(len(found), len(gold)) - same_name


def _places(text: str) -> Iterator[str]:
    stripped = text.strip()
    yield stripped
    blocks = fenced_blocks(text)
    if blocks:
        yield blocks[-1].text.strip()
    yield stripped.rpartition("\n")[2].strip()
    start, end = text.find("["), text.rfind("]")
    if 0 <= start < end:
        yield text[start : end + 1]


def _parsed(text: str) -> list[Call] | None:
    """The calls a text consists of; None if it is something else."""
    value = parse(text)
    if value is None:
        lines = [line for line in text.split("\n") if line.strip()]
        value = [parse(line) for line in lines] if 1 < len(lines) <= _MAX_LINES else None
    calls = _of_json(value)
    return _of_python(text) if calls is None else calls


def _of_json(value: Any) -> list[Call] | None:
    entries = value if isinstance(value, list) else [value]
    calls = [_json_call(entry) for entry in entries]
    return [call for call in calls if call is not None] if None not in calls else None


def _json_call(entry: Any) -> Call | None:
    if isinstance(entry, dict) and isinstance(entry.get("function"), dict):
        entry = entry["function"]
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    arguments = entry.get("arguments", entry.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = parse(arguments)
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return None
    return Call(entry["name"], named=frozenset((name, canonical(arg)) for name, arg in arguments.items()))


def _of_python(text: str) -> list[Call] | None:
    tree = _tree(text)
    if tree is None:
        return None
    nodes: list[ast.expr] = []
    for statement in tree.body:
        if not isinstance(statement, ast.Expr):
            return None
        listed = isinstance(statement.value, (ast.List, ast.Tuple))
        nodes += statement.value.elts if listed else [statement.value]  # type: ignore[attr-defined]
    if not tree.body:
        return None
    try:
        return [_python_call(node) for node in nodes]
    except _NoLiteralError:
        return None


class _NoLiteralError(Exception):
    """An expression that would have to be evaluated."""


def _tree(text: str) -> ast.Module | None:
    """The syntax tree of a text that is flat enough to be parsed safely; None if it is not, or no Python."""
    structure = _outside_strings(text)
    if structure is None or len(structure) > _MAX_STRUCTURE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of escapes like "\d", which are what a model meant.
            return ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # MemoryError: too deep for the parser.
        return None


def _outside_strings(text: str) -> str | None:
    """What a text of Python holds besides strings; None if a string never ends, or is a format string, which
    holds expressions."""
    pieces: list[str] = []
    place = 0
    while opening := _QUOTE.search(text, place):
        end = _STRING_ENDS[opening["quote"]].match(text, opening.end())
        if end is None or "f" in opening["prefix"].lower() or "t" in opening["prefix"].lower():
            return None
        pieces.append(text[place : opening.start()])
        place = end.end()
    return "".join([*pieces, text[place:]])


def _python_call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        raise _NoLiteralError
    names = [keyword.arg for keyword in node.keywords]
    if None in names or len(set(names)) != len(names):
        raise _NoLiteralError
    named = frozenset((str(keyword.arg), canonical(_literal(keyword.value))) for keyword in node.keywords)
    return Call(_dotted(node.func), tuple(canonical(_literal(arg)) for arg in node.args), named)


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _NoLiteralError
    return ".".join([node.id, *reversed(parts)])


def _literal(node: ast.expr) -> Any:
    """The value of a literal. Python's parser allows no more than two hundred brackets inside each other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
        return node.value
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(entry) for entry in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        pairs = [
            (_literal(key), _literal(value)) for key, value in zip(node.keys, node.values, strict=True) if key
        ]
        return _object(pairs)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _signed(node)
    raise _NoLiteralError


def _object(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    if any(isinstance(key, (list, dict)) for key, _ in pairs):
        raise _NoLiteralError
    named = {key if isinstance(key, str) else canonical(key): value for key, value in pairs}
    if len(named) != len(pairs):
        raise _NoLiteralError
    return named


def _signed(node: ast.UnaryOp) -> int | float:
    operand = node.operand
    if not isinstance(operand, ast.Constant) or type(operand.value) not in (int, float):
        raise _NoLiteralError
    value: int | float = operand.value  # type: ignore[assignment]
    return -value if isinstance(node.op, ast.USub) else value

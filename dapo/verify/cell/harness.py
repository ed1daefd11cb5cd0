"""Runs inside the room, in an interpreter of its own, next to the code it runs. Nothing here is trusted.

Reads from file 3 what to run, and writes to file 4 what the code computed: a line per value, each behind a
number that the code is not told. What the values should be is not known here; they are compared outside.
Needs nothing but the standard library, and is handed to the interpreter as text.
"""

from __future__ import annotations

import _sitebuiltins
import builtins
import importlib.machinery
import os
import sys
from _json import encode_basestring_ascii as _quoted

TYPE_CHECKING = False
if TYPE_CHECKING:  # This is loaded for every answer: what loads slowly is not loaded here.
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_MAX_DEPTH = 60


class _Text(importlib.machinery.SourceFileLoader):
    """Imports a module from its text."""

    def __init__(self, name: str, text: bytes) -> None:
        super().__init__(name, f"{name}.py")
        self._text = text

    def get_data(self, path: str) -> bytes:
        return self._text

    def path_stats(self, path: str) -> Any:
        raise OSError("there is no file")


def _load(name: str, text: bytes, names: dict[str, Any] | None = None) -> ModuleType:
    loader = _Text(name, text)
    module = type(sys)(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader)
    vars(module).update(names or {}, __name__=name, __builtins__=builtins)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _json(value: Any) -> str:
    """JSON of what `_plain` makes."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_json(item)}" for key, item in value.items()) + "}"
    return {None: "null", True: "true", False: "false"}[value] if type(value) is not int else str(value)


class _Case:
    """A test. What goes wrong in it is noted, and the tests after it still run."""

    def __init__(self, place: int, note: Callable[[list[Any]], None]) -> None:
        self._place, self._note = place, note

    def __enter__(self) -> None:
        self._note(["begin", self._place])

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        ended = "" if error is None else f"{type(error).__name__}: {str(error)[:200]}"
        self._note(["end", self._place, ended])
        return True


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` in JSON, as what its built-in base class says it is; other objects by their truth alone."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if depth < _MAX_DEPTH:
        for base, encode in _ENCODERS:
            if issubclass(kind, base):
                return encode(value, depth + 1)
        for module, name, other in _ENCODERS_OF_MODULES:
            if issubclass(kind, vars(sys.modules.get(module, builtins)).get(name, ())):
                return other(value, depth + 1)
    return {"object": bool(value)}


def _attempt(compute: Callable[[], Any]) -> Any:
    try:
        return _plain(compute())
    except Exception as error:  # The code may raise whatever it likes; the other values still count.
        return {"raised": f"{type(error).__name__}: {str(error)[:200]}"}


def _items(kind: type, name: str | None = None) -> Callable[[Any, int], Any]:
    """Encodes a collection by the iterator of `kind`, whatever its own class makes of iterating."""

    def encode(value: Any, depth: int) -> Any:
        items = [_plain(item, depth) for item in kind.__iter__(value)]  # type: ignore[attr-defined]
        return items if name is None else {name: items}

    return encode


def _pairs(value: Any, depth: int) -> Any:
    return {"dict": [[_plain(key, depth), _plain(item, depth)] for key, item in dict.items(value)]}


_ENCODERS: tuple[tuple[type, Callable[[Any, int], Any]], ...] = (
    (int, lambda value, depth: {"int": int.__format__(int.__int__(value), "x")}),
    (float, lambda value, depth: {"float": float.__repr__(float.__float__(value))}),
    (str, lambda value, depth: str.__str__(value)),
    (list, _items(list)),
    (tuple, _items(tuple, "tuple")),
    (dict, _pairs),
    (set, _items(set, "set")),
    (frozenset, _items(frozenset, "set")),
    (bytes, lambda value, depth: {"bytes": bytes.hex(value)}),
    (complex, lambda value, depth: {"complex": [repr(value.real), repr(value.imag)]}),
)

_ENCODERS_OF_MODULES: tuple[tuple[str, str, Callable[[Any, int], Any]], ...] = (
    (
        "fractions",
        "Fraction",
        lambda value, depth: {"ratio": [f"{value.numerator:x}", f"{value.denominator:x}"]},
    ),
    ("decimal", "Decimal", lambda value, depth: {"decimal": str(value)}),
    ("numpy", "generic", lambda value, depth: _plain(value.item(), depth)),
)
"""For classes of modules that the code may have loaded."""


def _run_tests(code: bytes, tests: bytes, number: str) -> None:
    channel = os.fdopen(os.dup(4), "w", encoding="ascii", newline="\n")

    def note(message: list[Any]) -> None:
        channel.write(f"{number} {_json(message)}\n")
        channel.flush()

    def value(place: int, *values: Callable[[], Any]) -> None:
        note(["value", place, [_attempt(one) for one in values]])

    def case(place: int) -> _Case:
        return _Case(place, note)

    solution = _load("solution", code)
    note(["loaded"])
    _load("tests", tests, {**vars(solution), "_dapo_case": case, "_dapo_value": value})


def _main() -> None:
    """File 3 holds the number and the lengths of the code and the tests on a line, then both."""
    with os.fdopen(3, "rb") as file:
        number, length, rest = file.readline().decode().split()
        code, tests = file.read(int(length)), file.read(int(rest))
    vars(builtins).update(
        exit=_sitebuiltins.Quitter("exit", "Ctrl-D"), quit=_sitebuiltins.Quitter("quit", "Ctrl-D")
    )
    sys.argv = ["main.py"]
    if tests:
        _run_tests(code, tests, number)
    else:
        os.close(4)
        _load("__main__", code)


if __name__ == "__main__":
    _main()

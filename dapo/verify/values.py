"""Values that a program in the sandbox computed, as `dapo.verify.cell.harness` notes them in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

_LONGEST_NUMBER = 64


@dataclass(frozen=True, eq=False)
class Opaque:
    """An object of a class that the program made. It equals nothing; only its truth is known."""

    truth: bool

    def __bool__(self) -> bool:
        return self.truth


def decode(noted: Any) -> Any:
    """The value noted. Raises LookupError where computing it failed, or the note is none."""
    if isinstance(noted, list):
        return [decode(item) for item in noted]
    if not isinstance(noted, dict):
        return noted
    [(kind, content)] = noted.items()
    return _KINDS[kind](content)


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "int": lambda digits: int(digits, 16),
    "float": float,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "ratio": lambda parts: Fraction(int(parts[0], 16), int(parts[1], 16)),
    "decimal": Decimal,
    "bytes": bytes.fromhex,
    "tuple": lambda items: tuple(decode(item) for item in items),
    "set": lambda items: {decode(item) for item in items},
    "dict": lambda items: {decode(key): decode(value) for key, value in items},
    "object": lambda truth: Opaque(bool(truth)),
}


def same(value: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Equality as JSON sees it: tuples are lists, and keys are texts; floats may differ by `tolerance`."""
    if isinstance(value, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(value) == len(expected) and all(
            same(one, other, tolerance) for one, other in zip(value, expected, strict=True)
        )
    if isinstance(value, dict) and isinstance(expected, dict):
        named = {str(key): item for key, item in value.items()}
        wanted = {str(key): item for key, item in expected.items()}
        return named.keys() == wanted.keys() and all(
            same(named[key], wanted[key], tolerance) for key in wanted
        )
    if tolerance and isinstance(value, (int, float)) and isinstance(expected, float):
        return _close(float(value), expected, tolerance)
    return bool(value == expected)


def same_output(output: str, expected: str, tolerance: float = 0.0) -> bool:
    """Whether two texts have the same lines, but for blanks at the ends of lines and of the text.

    With a tolerance they must have the same words, of which numbers may differ by it, relative or absolute.
    """
    if not tolerance:
        return _lines(output) == _lines(expected)
    words, wanted = output.split(), expected.split()
    return len(words) == len(wanted) and all(
        _same_word(word, other, tolerance) for word, other in zip(words, wanted, strict=True)
    )


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _same_word(word: str, expected: str, tolerance: float) -> bool:
    if word == expected:
        return True
    if max(len(word), len(expected)) > _LONGEST_NUMBER:
        return False
    try:
        return _close(float(word), float(expected), tolerance)
    except ValueError:
        return False


def _close(value: float, expected: float, tolerance: float) -> bool:
    return math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)

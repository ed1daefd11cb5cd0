"""JSON in what a model wrote: finding it, and comparing it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from dapo.verify.matching import most_pairs

_MAX_DEPTH = 100
_MAX_TRIALS = 20
"""How many regions are parsed, from the last back, before a text passes for one without JSON."""
_MAX_UNORDERED = 200
_MARK = re.compile(r'[{}\[\]"]')
_INSIDE_STRING = re.compile(r'(?:[^"\\\n]|\\.)*"?', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


def last_json(text: str) -> Any:
    """The last object or list in a text that is valid JSON; None if there is none.

    Not valid here are NaN and infinities, an object that has a key twice (it says two things), and more than
    a hundred levels. Takes time linear in the text.
    """
    regions = _balanced(text)
    for start, end in reversed(regions[-_MAX_TRIALS:]):
        value = parse(text[start:end])
        if value is not None:
            return value
    return None


def parse(text: str) -> Any:
    """The object or list that a text consists of; None if it is not valid as `last_json` says."""
    if text.count("{") + text.count("[") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        return None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refused)
    except (ValueError, RecursionError):  # RecursionError: brackets inside a text that is no JSON anyway.
        return None
    return value if isinstance(value, (dict, list)) else None


def canonical(value: Any) -> str:
    """A text that two values share if and only if they are equal: 1 equals 1.0, but not true."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Comparison:
    """When two values count as equal, and how nearly they are."""

    tolerance: float = 0.0
    """Relative difference up to which two numbers are equal."""
    ordered: bool = True
    """Whether the order of lists matters."""

    def equal(self, found: Any, gold: Any) -> bool:
        """Whether the values are equal: objects by their keys, lists by their entries, 1 and 1.0, not 1 and
        true."""
        if isinstance(found, dict) and isinstance(gold, dict):
            return found.keys() == gold.keys() and all(self.equal(found[key], gold[key]) for key in gold)
        if isinstance(found, list) and isinstance(gold, list):
            return len(found) == len(gold) and self._equal_entries(found, gold) == len(gold)
        return self._equal_scalars(found, gold)

    def credit(self, found: Any, gold: Any) -> float:
        """The share of the gold value that is there, from 0 to 1, over all keys and entries either has."""
        if isinstance(found, dict) and isinstance(gold, dict):
            keys = found.keys() | gold.keys()
            shared = found.keys() & gold.keys()
            return _share(sum(self.credit(found[key], gold[key]) for key in shared), len(keys))
        if isinstance(found, list) and isinstance(gold, list):
            longer = max(len(found), len(gold))
            if not self.ordered:
                return _share(self._equal_entries(found, gold), longer)
            return _share(sum(self.credit(*pair) for pair in zip(found, gold, strict=False)), longer)
        return float(self._equal_scalars(found, gold))

    def _equal_entries(self, found: Sequence[Any], gold: Sequence[Any]) -> int:
        """How many entries can be paired with an equal one, each once; in order if that matters."""
        if self.ordered:
            return sum(self.equal(*pair) for pair in zip(found, gold, strict=False))
        ours = Counter(map(canonical, found)) if not self.tolerance else Counter[str]()
        if ours:
            return (ours & Counter(map(canonical, gold))).total()
        if max(len(found), len(gold)) > _MAX_UNORDERED:
            return 0
        return most_pairs([[self.equal(one, other) for other in gold] for one in found])

    def _equal_scalars(self, found: Any, gold: Any) -> bool:
        if isinstance(found, bool) or isinstance(gold, bool):
            return found is gold
        if isinstance(found, (int, float)) and isinstance(gold, (int, float)):
            return found == gold or _close(found, gold, self.tolerance)
        return type(found) is type(gold) and bool(found == gold)


def _close(one: float, other: float, tolerance: float) -> bool:
    try:
        return tolerance > 0 and math.isclose(one, other, rel_tol=tolerance, abs_tol=0.0)
    except OverflowError:  # An integer too large for a float.
        return False


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 1.0


def _balanced(text: str) -> list[tuple[int, int]]:
    """Where brackets stand that are balanced and in no other balanced ones, strings aside.

    A bracket in prose may never close, and a quotation mark in prose may open no string: strings are looked
    for inside brackets only, and end with their line as they must in JSON.
    """
    regions: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    place = 0
    while mark := _MARK.search(text, place):
        character, place = mark[0], mark.end()
        if character in "{[":
            opened.append((_CLOSING[character], mark.start()))
        elif character == '"' and opened:
            place = _string_end(text, place)
        elif character in "}]" and any(closing == character for closing, _ in opened[-2:]):
            while opened:
                closing, start = opened.pop()
                if closing == character:
                    break
            while regions and regions[-1][0] > start:
                regions.pop()
            regions.append((start, place))
    return regions


def _string_end(text: str, start: int) -> int:
    """The place behind the string whose first character is at `start`: behind its quotation mark, or at the
    end of its line."""
    inside = _INSIDE_STRING.match(text, start)
    return start if inside is None else inside.end()


def _depth(text: str) -> int:
    """How many brackets stand inside each other, strings aside."""
    deepest = depth = place = 0
    while mark := _MARK.search(text, place):
        place = _string_end(text, mark.end()) if mark[0] == '"' else mark.end()
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(mark[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value

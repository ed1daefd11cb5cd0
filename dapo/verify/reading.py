r"""What an answer says, read from its tidy spelling: a number, a tuple, a set, an interval, a word ...

`read` tries the readers in turn and gives an answer the first form that fits. Each reader states the class of
answers it decides on. What fits none is a `Formula`, which only computer algebra can judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dapo.verify.forms import Chain, Form, Formula, Infinity, Joined, Matrix, Named, Sequence, Word
from dapo.verify.numbers import Number, read_number
from dapo.verify.spelling import closing
from dapo.verify.units import without_unit

MAX_ITEMS = 50
"""Lists, sets and tuples of more items are compared as they are spelled."""
MAX_DEPTH = 8
"""Forms within forms. What lies deeper is compared as it is spelled."""


def read(text: str, depth: int = 0) -> Form:
    """The form of a tidy answer."""
    number = read_number(text)
    if number is not None:
        return number
    if depth < MAX_DEPTH:
        for reader in _READERS:
            form = reader(text, depth + 1)
            if form is not None:
                return form
    return Formula(text)


def split(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The pieces of `text` between matches of `pattern` outside all brackets, and those matches."""
    pieces, cuts, depth, start = [], [], 0, 0
    for match in pattern.finditer(text):
        found = match[0]
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif depth == 0:
            pieces.append(text[start : match.start()].strip())
            cuts.append(found.strip())
            start = match.end()
    return [*pieces, text[start:].strip()], cuts


def _outside(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"[(\[{{]|[)\]}}]|{pattern}")


_SEPARATORS = _outside(r"[,;] (?:and|or) | (?:and|or) |[,;]")
_SEPARATORS_BUT_THOUSANDS = _outside(r"[,;] (?:and|or) | (?:and|or) |(?<![0-9]),|,(?![0-9]{3}(?![0-9]))|;")
_EQUALS = _outside(r"=|\\approx(?![a-zA-Z])")
_INEQUALITIES = _outside(r"<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])")
_UNIONS = _outside(r"\\cup(?![a-zA-Z])")

_GREEK = r"\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|varphi|omega|angle [A-Z]{1,3}|text ?\{[^{}]*\})"
_NAME = (
    rf"(?:[A-Za-z]|[A-Z]{{2,4}}|[A-Za-z]{{3,12}}|{_GREEK})"
    r"(?:_(?:\w|\{[^{}]*\}))?'{0,2}(?:\([\w,=<> ]*\))?"
)
_NAMES = re.compile(
    rf"{_NAME}(?: ?[:/] ?{_NAME})?|\|{_NAME}\||\\frac\{{{_NAME}\}}\{{{_NAME}\}}"
    rf"|\({_NAME}(?: ?, ?{_NAME}){{0,7}}\)"
)
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_LETTER = re.compile(r"[a-zA-Z]")


def _is_name(text: str) -> bool:
    return _NAMES.fullmatch(text) is not None


def _is_constant(text: str) -> bool:
    return _LETTER.search(_COMMAND.sub("", text)) is None


def _quantity(text: str, depth: int) -> Form | None:
    r"""A number with a unit or a numeral after it: `15 \text{ cm}^2`, `90^\circ`, `2 feet`, `3 million`."""
    bare, factor = without_unit(text)
    number = read_number(bare)
    return number if number is None or factor == 1 else Number(number.value * factor)


def _infinity(text: str, depth: int) -> Form | None:
    bare = text.lstrip("+-").strip()
    return Infinity(text.startswith("-")) if bare == r"\infty" else None


def _list(text: str, depth: int) -> Form | None:
    """Items without brackets, in any order: `1, 2`, `1 and 2`, `x = 1; x = 2`.

    `x < 1 or x > 3` is a union.
    """
    pieces, cuts = split(text, _SEPARATORS_BUT_THOUSANDS)
    if len(pieces) < 2 or len(pieces) > MAX_ITEMS or not all(pieces):
        return None
    items = [read(piece, depth) for piece in pieces]
    ranges = [item.value for item in items if isinstance(item, Named) and isinstance(item.value, Sequence)]
    if all(cut == "or" for cut in cuts) and len(ranges) == len(items) == 2:
        return Joined(tuple(item for item in ranges if isinstance(item, Sequence)))
    return Sequence("{}", _flat(items))


def _equation(text: str, depth: int) -> Form | None:
    r"""`name = ... = value`, `value = name`, and equations between constants, which say what stands last.

    What follows `\approx` is dropped, unless it follows the name. Other equations are formulas.
    """
    pieces, cuts = split(text, _EQUALS)
    if len(pieces) < 2 or not all(pieces):
        return None
    if _is_name(pieces[0]):
        return Named(pieces[0], read(_last(pieces[1:], cuts[1:]), depth))
    last = _last(pieces, cuts)
    if _is_constant(pieces[0]) and _is_constant(last):
        return read(last, depth)
    if len(pieces) == 2 and _is_constant(pieces[0]) and _is_name(pieces[1]):
        return Named(pieces[1], read(pieces[0], depth))
    return read(pieces[0], depth) if cuts[0] != "=" else None


def _last(pieces: list[str], cuts: list[str]) -> str:
    """The last piece before the first that is only approximately equal."""
    exact = next((place for place, cut in enumerate(cuts) if cut != "="), len(cuts))
    return pieces[exact]


def _inequality(text: str, depth: int) -> Form | None:
    r"""A name between bounds is an interval: `x > 3`, `3 \ge x`, `-1 < x \le 2`.

    Other chains keep their items, and a single inequality between formulas is a formula.
    """
    pieces, signs = split(text, _INEQUALITIES)
    if not signs or not all(pieces) or len(pieces) > MAX_ITEMS:
        return None
    if any(sign in (">", r"\ge") for sign in signs):
        pieces, signs = pieces[::-1], [_MIRRORED[sign] for sign in reversed(signs)]
    if any(sign in (">", r"\ge") for sign in signs):
        return None
    if len(pieces) == 2 and _is_name(pieces[0]):
        pieces, signs = [r"-\infty", *pieces], ["<", *signs]
    elif len(pieces) == 2 and _is_name(pieces[1]):
        pieces, signs = [*pieces, r"\infty"], [*signs, "<"]
    items = tuple(read(piece, depth) for piece in pieces)
    if len(pieces) == 3 and _is_name(pieces[1]) and not _is_name(pieces[0]):
        brackets = ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]")
        return Named(pieces[1], Sequence(brackets, (items[0], items[2])))
    return Chain(tuple(signs), items) if len(pieces) > 2 else None


_MIRRORED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _member(text: str, depth: int) -> Form | None:
    r"""`x \in S` says S."""
    name, found, rest = text.partition(r"\in ")
    return Named(name.strip(), read(rest.strip(), depth)) if found and _is_name(name.strip()) else None


def _union(text: str, depth: int) -> Form | None:
    pieces, _ = split(text, _UNIONS)
    if len(pieces) < 2 or len(pieces) > MAX_ITEMS:
        return None
    parts = [read(piece, depth) for piece in pieces]
    sets = [Sequence("{}", (part,)) if isinstance(part, Number) else part for part in parts]
    found = tuple(part for part in sets if isinstance(part, Sequence))
    return Joined(found) if len(found) == len(pieces) else None


def _bracketed(text: str, depth: int) -> Form | None:
    r"""`(1, 2)`, `[0, 1)`, `\{1, 2\}`. Brackets around one item say nothing."""
    start = 1 if text.startswith(r"\{") else 0
    if text[start : start + 1] not in ("(", "[", "{") or closing(text, start) != len(text) - 1:
        return None
    inner = text[start + 1 : -1].removesuffix("\\").strip()
    brackets = text[start] + text[-1]
    pieces, _ = split(inner, _SEPARATORS)
    if len(pieces) > MAX_ITEMS or not all(pieces):
        return None
    if len(pieces) == 1:
        return read(inner, depth)
    if brackets not in ("()", "[]", "{}") and (len(pieces) != 2 or "{" in brackets or "}" in brackets):
        return None
    items = [read(piece, depth) for piece in pieces]
    return Sequence(brackets, _flat(items) if brackets == "{}" else tuple(items))


def _flat(items: list[Form]) -> tuple[Form, ...]:
    """Items of a set; sets among them, such as those of a plus-minus sign, are dissolved."""
    found: list[Form] = []
    for item in items:
        found += item.items if isinstance(item, Sequence) and not item.ordered else (item,)
    return tuple(found)


def _plus_minus(text: str, depth: int) -> Form | None:
    r"""`a \pm b` says two values."""
    if text.count(r"\pm") != 1:
        return None
    signs = (text.replace(r"\pm", sign).strip().removeprefix("+").strip() for sign in "+-")
    return Sequence("{}", tuple(read(re.sub(r"^- ", "-", spelled), depth) for spelled in signs))


_MATRIX = re.compile(r"\\begin\{([pbB]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}", re.DOTALL)


def _matrix(text: str, depth: int) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match[2] or match[2].count("&") + match[2].count(r"\\") > MAX_ITEMS:
        return None
    lines = [line.strip() for line in match[2].split(r"\\")]
    return Matrix(
        tuple(tuple(read(cell.strip(), depth) for cell in line.split("&")) for line in lines if line)
    )


_NUMERAL = re.compile(r"([0-9A-F]+)_ ?\{?([0-9]{1,2})\}?")
_RATIO = re.compile(r"[0-9]+(?: ?: ?[0-9]+)+")
_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_WORDS = re.compile(r"[a-zA-Z]+(?:[ '-][a-zA-Z]+)*")
_FUNCTION = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi|lim|max|min|mod|det|gcd|lcm|exp|inf)\b")


def _word(text: str, depth: int) -> Form | None:
    r"""Words, in `\text{}` or plain; a single letter; `204_5`, a numeral with its base; `7:32`."""
    if match := _NUMERAL.fullmatch(text):
        return Word(f"{match[1]}_{match[2]}")
    if _RATIO.fullmatch(text):
        return Word(text.replace(" ", ""))
    if match := _TEXT.fullmatch(text):
        inner = read(match[1].strip(), depth)
        return Word(match[1].strip(" .")) if isinstance(inner, Formula) else inner
    if not _WORDS.fullmatch(text):
        return None
    words = re.split("[ '-]", text)
    is_text = len(text) == 1 or (max(map(len, words)) >= 3 and not _FUNCTION.search(text))
    return Word(text) if is_text else None


_Reader = Callable[[str, int], Form | None]
_READERS: tuple[_Reader, ...] = (
    _quantity,
    _infinity,
    _word,
    _matrix,
    _bracketed,
    _list,
    _equation,
    _inequality,
    _member,
    _union,
    _plus_minus,
)

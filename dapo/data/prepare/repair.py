r"""LaTeX commands that became control characters: `\frac` a form feed and `rac`, `\times` a tab and `imes`.

A program that unescapes a text once too often turns `\f`, `\t`, `\b`, `\r`, `\n`, `\v` and `\a` into the
control characters they stand for. The command is put back only where what follows makes one. Elsewhere the
character may mean something (a tab before code), or come from another accident: in text taken from PDF files
a form feed is often the ligature "fi".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_ALWAYS = {
    "\a": "lpha pprox ngle rccos rcsin rctan rg lign st",
    "\b": "eta egin inom oxed ar ig igg igl igr iggl iggr igcup igcap igoplus igotimes igstar oldsymbol mod "
    "ullet ot owtie ecause ackslash f",
    "\t": "imes heta riangle riangleq riangleleft riangleright ilde herefore",
    "\n": "abla eq otin onumber otag",
    "\v": "ec arepsilon arphi arnothing artheta arrho dots ert ee",
    "\f": "rac orall",
    "\r": "ight ightarrow ightharpoonup ightleftharpoons",
}
"""What follows the character in commands that nothing else explains, whatever stands around them."""

_WITH_BRACE = {
    "\t": "ext extbf extit extrm extsf exttt extup frac binom",
    "\f": "box",
    "\r": "aisebox",
}
"""The same for commands that are words or names too: only before an opening brace, or in a formula."""

_IN_FORMULA = {
    "\t": "an anh au o op",
    "\f": "lat rown",
    "\r": "angle brace brack ceil floor group ho vert m",
}
"""The same, only in a formula: a tab before "an apple" is a tab."""

_LETTERS = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}
_CANDIDATE = re.compile(r"([\a\b\t\n\v\f\r])([A-Za-z]+)")
_DELIMITER = re.compile(r"\\[\\$]|\$\$|\$|\\[()\[\]]")
_CLOSED_BY = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")


def _pairs(tails: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((character, tail) for character, words in tails.items() for tail in words.split())


_SURE, _BRACED, _FORMULA = _pairs(_ALWAYS), _pairs(_WITH_BRACE), _pairs(_WITH_BRACE) | _pairs(_IN_FORMULA)


@dataclass(frozen=True)
class Repaired:
    """A text with its commands put back."""

    text: str
    commands: tuple[str, ...] = ()
    """The commands put back, in order, such as `\\frac`."""
    left: tuple[str, ...] = ()
    """Control characters that stay, as `U+000C`. Line ends and tabs are none."""


def repair(text: str) -> Repaired:
    """Puts lost commands back; reports every other control character, and leaves it."""
    commands: list[str] = []
    pieces: list[str] = []
    end = 0
    in_formula = _formulas(text)
    for match in _CANDIDATE.finditer(text):
        found = (match[1], match[2])
        braced = text.startswith("{", match.end())
        if (
            found in _SURE
            or (found in _BRACED and braced)
            or (found in _FORMULA and in_formula(match.start()))
        ):
            commands.append(f"\\{_LETTERS[match[1]]}{match[2]}")
            pieces += [text[end : match.start()], commands[-1]]
            end = match.end()
    repaired = "".join([*pieces, text[end:]])
    left = tuple(f"U+{ord(found):04X}" for found in _CONTROL.findall(repaired))
    return Repaired(repaired, tuple(commands), left)


def _formulas(text: str) -> Callable[[int], bool]:
    """Says of places in the text, asked for in order, whether they lie in a formula.

    A formula that is never closed ends with the text.
    """
    delimiters = _DELIMITER.finditer(text)
    upcoming = next(delimiters, None)
    closing = ""

    def inside(place: int) -> bool:
        nonlocal upcoming, closing
        while upcoming is not None and upcoming.start() < place:
            if closing:
                closing = "" if upcoming[0] == closing else closing
            else:
                closing = _CLOSED_BY.get(upcoming[0], "")
            upcoming = next(delimiters, None)
        return bool(closing)

    return inside

"""Which option of a multiple-choice question a text names, by letter or by the option's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dapo.verify.text import edit_distance, half_width, one_line

UNCLEAR = ""
"""Stands for a text that names several options, or contradicts itself."""

_LATEX = re.compile(r"\\(?:text|math)[a-z]*\b|\\boxed\b|\\[()\[\]]|[${}]")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_STOP, _COMMA = "\u3002", "\u3001"  # Chinese and Japanese.
_ORNAMENT = f" \t*_{_QUOTES}"
_OPENING, _CLOSING = "(\\[\u3010", ")\\]\u3011"
_AROUND = rf"[{re.escape(_ORNAMENT)}{_OPENING}]*"
_BEHIND = rf"[{re.escape(_ORNAMENT)}{_CLOSING}]*"

# Between two letters: blanks, a comma, a slash, or one short word of whatever language (or, und, et, 和).
_WORD = r"(?:(?:and/or|[^\W\d_]{1,5})[ \t]*)?"
_JOINT = rf"{_BEHIND}[,/&+|{_COMMA}]?[ \t]*{_WORD}{_AROUND}"

_SEPARATOR = re.compile(rf"[ \t]*[.,:;){_COMMA}{_STOP}\]\u2013\u2014-]")
_AFTER_LETTER = f")].,:;!-\u2013\u2014\u3011{_COMMA}{_STOP}"
_PROSE = {
    "A": re.compile(r"[ \t]+(?!(?:is|was|because|since|as|would)\b)[^\W\d_]"),
    "I": re.compile(r"[ \t]+[^\W\d_]"),
}
"""What follows the letters that are words of English where they are meant as words."""


@dataclass(frozen=True)
class Options:
    """The letters of a question's options, and what they say where that is known."""

    letters: str
    """The letters in use, upper case, one per option."""
    by_text: Mapping[str, str]
    """The letter of each option by its text, in the form `plain` gives it. Texts that two options share are
    not here: they name neither."""
    max_distance: float = 0.0
    """How far, as an edit distance over the longer length, a text may be from the option it names."""

    @staticmethod
    def of(letters: str, texts: Sequence[str] = (), max_distance: float = 0.0) -> Options:
        """The options of a question with these texts; with none, the letters alone."""
        forms = [plain(text) for text in texts]
        by_text = {
            form: letter for form, letter in zip(forms, letters, strict=False) if forms.count(form) == 1
        }
        return Options(letters[: len(forms)] if forms else letters, by_text, max_distance)

    def named(self, text: str) -> str | None:
        """The letter that a short text names: `B`, `(b)`, `**B.**`, `B. Paris`, or the words of an option.

        UNCLEAR for `A or B`, and for a letter followed by the words of another option. None if no option is
        named; `A` and `I` before an ordinary word are words.
        """
        text = _bare(text)
        if (letter := self.by_text.get(plain(text))) is not None:
            return letter
        match = self._letter_at(text)
        return self._nearest(text) if match is None else self._settled(match, text)

    def alone(self, line: str) -> str | None:
        """The letter a line consists of, `**B**`, or names by an option's words, `B. Paris`, `Paris`."""
        line = _bare(line)
        if (letter := self.by_text.get(plain(line))) is not None:
            return letter
        if (match := self._letter_at(line)) is None:
            return None
        said = _said(line[match.end(1) :])
        return match[1].upper() if self.by_text.get(said, "") == match[1].upper() or not said else None

    def ending(self, line: str) -> str | None:
        """The letter a line ends with, `La respuesta es B.`; None where it names a second option as well."""
        line = _bare(line)
        letters = list(self._standing(line))
        if not letters or _said(line[letters[-1].end() :]):
            return None
        last = letters[-1]
        others = {match[0] for match in letters[:-1] if not self._is_word(match[0], line, match.end())}
        if len(letters) > 1 and letters[-2][0] != "I":
            joined = re.fullmatch(_JOINT, line[letters[-2].end() : last.start()])
            others |= {letters[-2][0]} if joined else set()
        others |= {letter for form, letter in self.by_text.items() if _speaks_of(form, line)}
        return last[0] if others <= {last[0]} else None

    def last_standing(self, text: str) -> str | None:
        """The last upper-case letter of an option that stands alone in a text, whatever it means there."""
        letters = re.findall(self._one_letter, half_width(text))
        return letters[-1] if letters else None

    def _letter_at(self, text: str) -> re.Match[str] | None:
        """The letter that a text begins with. A small one counts if it is marked as one: `b)`, `(b`, `b`."""
        match = re.match(rf"{_AROUND}({self._one_letter})(?P<behind>{_BEHIND})", text, re.IGNORECASE)
        if match is None or match[1].isupper():
            return match
        rest = text[match.end() :]
        return match if not rest or ")" in match["behind"] or _SEPARATOR.match(rest) else None

    def _settled(self, match: re.Match[str], text: str) -> str | None:
        """The letter that `match` found, unless what follows it makes it a word or one of several."""
        letter, rest = match[1].upper(), text[match.end(1) :]
        is_word = self._is_word(letter, text, match.end(1))
        if is_word and letter == "I":
            return None
        joined = re.match(rf"{_JOINT}({self._one_letter})", rest, 0 if match[1].isupper() else re.IGNORECASE)
        if (
            joined
            and joined[1].upper() != letter
            and not self._is_word(joined[1].upper(), rest, joined.end())
        ):
            return UNCLEAR
        if is_word:
            return None
        return letter if self.by_text.get(_said(rest), letter) == letter else UNCLEAR

    def _nearest(self, text: str) -> str | None:
        """The one option whose text is nearest, if it is near enough."""
        if not self.max_distance or not self.by_text:
            return None
        form = plain(text)
        ranked = sorted((edit_distance(form, option), letter) for option, letter in self.by_text.items())
        tied = len(ranked) > 1 and ranked[1][0] == ranked[0][0]
        return ranked[0][1] if ranked[0][0] <= self.max_distance and not tied else None

    def _standing(self, text: str) -> Iterator[re.Match[str]]:
        return re.finditer(self._one_letter, text)

    @property
    def _one_letter(self) -> str:
        """A letter next to no other. Next to Chinese ones it still stands alone: `选B吧`."""
        beside = r"A-Za-z0-9" if self.letters.isascii() else r"\w"
        return rf"(?<![{beside}])[{self.letters}](?![{beside}]|['\u2019][A-Za-z])"

    @staticmethod
    def _is_word(letter: str, text: str, end: int) -> bool:
        """Whether the letter, which ends at `end`, is the article or the pronoun."""
        return letter in _PROSE and _PROSE[letter].match(text, end) is not None


def plain(text: str) -> str:
    """The form in which the texts of options are compared: one line, case and ornament aside."""
    return one_line(_bare(text)).casefold().strip(_ORNAMENT + f".{_STOP}")


def _said(rest: str) -> str:
    """What is said after a letter, in the form of `plain`."""
    return plain(rest.lstrip(_ORNAMENT + _AFTER_LETTER))


def _speaks_of(form: str, line: str) -> bool:
    """Whether a line holds the words of an option; numbers and other short ones are there by chance."""
    return len(form) > 3 and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", plain(line)) is not None


def _bare(text: str) -> str:
    """Without LaTeX wrapping and without ornament at the ends."""
    return _LATEX.sub("", half_width(text)).strip().strip(_ORNAMENT)

"""Multiple choice: the option that the completion names last must be the gold one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.golds import column
from dapo.verify.options import UNCLEAR, Options

_ORNAMENT = r"[\s*_\"')\]]{0,8}"
_BEHIND_ANSWER = re.compile(
    rf"{_ORNAMENT}(?:(?P<declared>(?:\bis\b{_ORNAMENT})?[:\uff1a])"
    r"|\b(?:is|must be|should be|would be|es|est|ist|è|é)\b|[是为為選选は])"
)
_LATIN = ("answer", "option", "choice", "respuesta", "réponse", "antwort", "risposta", "resposta")
_OTHER = ("\u043e\u0442\u0432\u0435\u0442", "答案", "正解", "答え", "回答", "정답", "الإجابة", "उत्तर")
_MARKERS = {
    **dict.fromkeys((*_LATIN, *_OTHER), _BEHIND_ANSWER),
    "\\boxed": re.compile(r"(?P<declared>\s?\{)"),
    "<answer>": re.compile(r"(?P<declared>)"),
    "\n####": re.compile(r"(?P<declared>)"),
}
"""What a statement begins with, in lower case, and what has to follow."""
_MAX_CONTENT = 500
"""How many characters after a marker are read."""
_MAX_DECLARATIONS = 100
"""How many markers are read, from the last one back, where those behind are followed by no option."""


@dataclass(frozen=True)
class Reward:
    """1 if the option named last is the gold answer, else 0. `Score.answer` is its letter.

    Read is what stands after the thinking. What counts, in this order:

    1. the last declaration: `\\boxed{B}`, `Answer: B. Paris`, `答案: B`, `<answer>B</answer>`, `#### B`, or
       `the answer is B`, where that names an option;
    2. without one, unless `require_marker`, the last line: a letter by itself (`**B**`, `(B)`), the words of
       an option, or a sentence that ends with one letter and names no other (`La respuesta es B.`).

    `A or B` names no option, nor does a letter with the words of another option behind it; the article `A`
    and the pronoun `I` are no letters. A last declaration without a clear option is no answer, whatever was
    said before it.

    The gold answer is a letter, `B. Paris`, or the words of an option. Raises ValueError for any other.
    """

    name: ClassVar[str] = "choice"

    letters: str = "ABCDEFGHIJ"
    """The letters options may have; of a question whose options are known, as many as it has."""
    options: str | None = None
    """Column of the options' texts: a list in the order of the letters, `{"A": "Paris", ...}`, or
    `{"label": [...], "text": [...]}`. None: `options` or `choices` where there is one."""
    max_distance: float = 0.0
    """An answer that is no letter names the nearest option up to this edit distance, as a share of the longer
    text. 0: it must be equal, case, white space and ornament aside."""
    require_marker: bool = False
    """Read nothing but declarations."""
    find: Literal["stated", "last_letter"] = "stated"
    """`last_letter` takes the last letter that stands alone anywhere, as Yuan3.0 does for mrag_bench (with
    letters ABCD): it rewards `not B` like `B`."""

    def __post_init__(self) -> None:
        if not self.letters.isalpha() or self.letters != self.letters.upper():
            raise ValueError(f"letters must be upper-case letters, as in ABCD, not {self.letters!r}")
        if len(set(self.letters)) != len(self.letters):
            raise ValueError(f"letters holds one of them twice: {self.letters!r}")
        if not 0 <= self.max_distance < 1:
            raise ValueError(f"max_distance must lie in [0, 1), not {self.max_distance}; 0 means equal")

    def __call__(self, completion: Completion, example: Example) -> Score:
        options = self._options(example)
        gold = options.named(example.answer)
        if not gold:
            raise ValueError(
                f"the answer {example.answer!r} of example {example.id} names none of the options "
                f"{options.letters}; give a letter or the text of an option, or set `letters`"
            )
        text = after_thinking(completion.text)
        found = options.last_standing(text) if self.find == "last_letter" else self._stated(text, options)
        return Score(score=float(found == gold), answer=found)

    def _stated(self, text: str, options: Options) -> str | None:
        declared = _last_declared(text, options)
        if declared is not None or self.require_marker:
            return declared or None
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines or len(lines[-1]) > _MAX_CONTENT:
            return None
        letter = options.alone(lines[-1])
        if letter is None and len(lines) == 1 and not options.by_text:
            letter = _letter_and_words(lines[0], options)
        if letter is None:
            return options.ending(lines[-1])
        # The end of a list of options names the last of them without choosing it.
        before = options.alone(lines[-2][:_MAX_CONTENT]) if len(lines) > 1 else None
        return letter if before in (None, letter) else None

    def _options(self, example: Example) -> Options:
        names = ("options", "choices") if self.options is None else (self.options,)
        value = next((found for name in names if (found := column(example, name)) is not None), None)
        if value is None and self.options is not None:
            raise ValueError(f"example {example.id} has no column {self.options!r} of options; set `options`")
        labels, texts = _labelled(value, example)
        letters = labels if set(labels) <= set(self.letters) and labels else self.letters
        if len(texts) > len(letters):
            raise ValueError(
                f"example {example.id} has {len(texts)} options, but the letters are {letters!r}; "
                "set `letters`"
            )
        return Options.of(letters, texts, self.max_distance)


def _last_declared(text: str, options: Options) -> str | None:
    """What the last declaration names; UNCLEAR if it names no single option; None without a declaration."""
    ends = [place for marker in _MARKERS for place in _statements(f"\n{text}", marker)]
    for end, binding in sorted(ends, reverse=True)[:_MAX_DECLARATIONS]:
        content = text[end : end + _MAX_CONTENT].lstrip(" \t\r\n*_:\uff1a")
        named = options.named(_content(content))
        if named is not None or binding:
            return named or UNCLEAR
    return None


def _statements(text: str, marker: str) -> Iterator[tuple[int, bool]]:
    """Where the content of each statement begins in `text[1:]`, and whether it is a declaration."""
    # The only letter that is two in lower case would move all that follow it.
    lowered = text.replace("\u0130", "i").lower()
    place = lowered.find(marker)
    while place >= 0:
        behind = _MARKERS[marker].match(lowered, place + len(marker))
        inside_word = marker in _LATIN and lowered[place - 1].isalnum()
        if behind and not inside_word:
            yield behind.end() - 1, behind["declared"] is not None
        place = lowered.find(marker, place + len(marker))


def _content(text: str) -> str:
    """The rest of the line, up to a closing tag or the brace that closes the one before it."""
    line = text.partition("\n")[0].partition("</answer>")[0]
    depth = 0
    for place, character in enumerate(line):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return line[:place]
    return line


def _letter_and_words(line: str, options: Options) -> str | None:
    """The letter of a completion that is nothing but `B. Paris`."""
    match = re.match(r"[\s*_(\[]*(\w)[*_]{0,2}[.:)\]]", line)
    return options.named(line) or None if match else None


def _labelled(value: object, example: Example) -> tuple[str, Sequence[str]]:
    """The letters of the options, empty where they follow from the order, and the texts."""
    if value is None:
        return "", ()
    if isinstance(value, (list, tuple)):
        return "", [_without_letter(str(text), place) for place, text in enumerate(value)]
    if isinstance(value, Mapping):
        labels, texts = (value["label"], value["text"]) if "text" in value else (value.keys(), value.values())
        pairs = sorted((str(label).upper(), str(text)) for label, text in zip(labels, texts, strict=True))
        single = all(len(label) == 1 for label, _ in pairs)
        return "".join(label for label, _ in pairs) if single else "", [text for _, text in pairs]
    raise ValueError(
        f"the options of example {example.id} are a {type(value).__name__}; give a list of texts"
    )


def _without_letter(text: str, place: int) -> str:
    """`B. Paris` as `Paris`, where the letter is the one of its place."""
    match = re.match(r"\s*\(?([A-Za-z])[.):]\s+", text)
    return text[match.end() :] if match and ord(match[1].upper()) - ord("A") == place else text

"""The scorer DAPO was trained with: the last `Answer:` line, normalised, must equal the gold answer.

It gives the verdicts of verl's `math_dapo` scorer. The normalisation is the one of Minerva
(arXiv 2206.14858, appendix D.1). It is strict, and known for it: `34.`, `34.0`, `+34` and `**34**`
are not `34`, and neither is a `\\boxed{34}` without `Answer:` before it. Whatever a model writes is
compared as text and never evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.extract import last_boxed

_ANSWER_LINE = re.compile(r"answer\s*:\s*([^\n]+)", re.IGNORECASE)

_SUBSTITUTIONS = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)

_WORDS_WITHOUT_MEANING = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", "\\ldots", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals"),
    *("edges", "students", "childrentickets", "multiples"),
    *("\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}"),
    *("\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots"),
)

# The last one reaches to the last brace of the line, so that a fraction inside a box stays whole.
_WRAPPERS = tuple(
    re.compile(pattern)
    for pattern in (r"\\text\{(.*?)\}", r"\\textbf\{(.*?)\}", r"\\overline\{(.*?)\}", r"\\boxed\{(.*)\}")
)
_BARE_FRACTION = re.compile(r"frac([^{])(.)")
_BARE_ROOT = re.compile(r"sqrt([^{])")


@dataclass(frozen=True)
class Reward:
    """1 if the answer equals the gold answer after both are normalised, else 0.

    `Score.answer` is the normalised answer. An answer of which nothing is left is none, so that a
    gold answer of which nothing is left cannot be matched by saying nothing: there, and only there,
    verl's verdict differs.
    """

    name: ClassVar[str] = "math_dapo"

    strict_box: bool = False
    """Read the last `\\boxed{...}` instead, and compare it with the gold answer as it stands."""
    window: int | None = None
    """How many characters at the end of the completion are read. None is verl's 300, or 100 for
    `strict_box`."""

    def __post_init__(self) -> None:
        if self.window is not None and not 1 <= self.window <= 10_000:
            raise ValueError(f"window must lie between 1 and 10000 characters, not {self.window}")

    def __call__(self, completion: Completion, example: Example) -> Score:
        find = last_boxed if self.strict_box else _answer_line
        answer = find(completion.text[-self._window :])
        gold = example.answer if self.strict_box else normalise(example.answer)
        if not answer:
            return Score(score=0.0)
        return Score(score=float(answer == gold), answer=answer)

    @property
    def _window(self) -> int:
        if self.window is not None:
            return self.window
        return 100 if self.strict_box else 300


def normalise(answer: str) -> str:
    """The form in which answers are compared: without units, LaTeX wrapping, blanks and separators."""
    text = answer.split("=")[-1]
    for old, new in _SUBSTITUTIONS:
        text = text.replace(old, new)
    for word in _WORDS_WITHOUT_MEANING:
        text = text.replace(word, "")
    text = "\n".join(_first_formula(line) for line in text.split("\n"))
    for wrapper in _WRAPPERS:
        text = wrapper.sub(r"\1", text)
    text = _BARE_FRACTION.sub(r"frac{\1}{\2}", text)
    text = _BARE_ROOT.sub(r"sqrt{\1}", text)
    text = text.replace("$", "")
    digits = text.replace(",", "")
    return (digits if digits.isdigit() else text).strip()


def _first_formula(line: str) -> str:
    """The first `$...$` of a line, with its dollar signs; the line itself if it has none."""
    pieces = line.split("$", maxsplit=2)
    return f"${pieces[1]}$" if len(pieces) == 3 else line


def _answer_line(text: str) -> str | None:
    answers = _ANSWER_LINE.findall(text)
    return normalise(answers[-1]) if answers else None

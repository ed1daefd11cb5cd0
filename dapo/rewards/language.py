"""Is the answer written in the language that was asked for? Judged by the scripts of its words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.golds import column
from dapo.verify.prose import prose, text_of
from dapo.verify.scripts import SCRIPTS, language_code, script_of, words
from dapo.verify.yuan import reflected

_YUAN_LIMIT = 0.2
_YUAN_CODE_LIMIT = 0.3
_YUAN_CODE = "llm_code"

_OF_VARIABLES = ("LATIN", "GREEK")
"""A single letter of these is a variable in any language."""


@dataclass(frozen=True)
class Reward:
    """1 if enough of the prose is in the language, else 0. Code, formulas and addresses are not read.

    The script decides, so languages that share one (English and German) are the same here. Where no
    language is asked for, or there is no prose, there is nothing to object to: 1.
    Raises ValueError for a language it does not know.
    """

    name: ClassVar[str] = "language"

    language: str | None = None
    """The language asked for (`en`, `zh` or `cn`, `ja`, `ru` ...). None: what the row's column says."""
    column: str = "language"
    """The column that names it, dotted inside another; empty or missing is no language."""
    rule: Literal["share", "yuan"] = "share"
    """`share`: of all words that count, at least `threshold` must be of the language's scripts. Of those in
    others, variables, words of the prompt and `allowed` ones do not count. Scripts without blanks
    count by letter.
    `yuan` (Yuan3.0 Flash): English with a share of 0.2 Chinese characters among its letters is bad, and
    Chinese with a share of 0.2 (0.3 where `reward_method` is llm_code) of such English words; every other
    language is good. Its segmenter is not used: Chinese counts by character, which makes the share smaller
    than counting by word."""
    rows: Literal["all", "yuan"] = "all"
    """Which rows are judged; the others get 1. `yuan`, as Yuan3.0: not those of images or of supervised data
    (`mllm` or `sft` in `reward_method`), nor those that the reward `reflection` grades, where a wrong
    language costs something already."""
    threshold: float = 0.8
    graded: bool = False
    """With `share`: the share itself is the score, and `threshold` is not read."""
    allowed: tuple[str, ...] = ()
    """Words of other languages that never count, in any case."""

    def __post_init__(self) -> None:
        if self.language is not None:
            language_code(self.language)
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold must lie in (0, 1], not {self.threshold}; Yuan3.0 Flash asks for 0.8"
            )
        if self.rule == "yuan" and (self.graded or self.threshold != 0.8):
            raise ValueError("rule: yuan has its own thresholds; leave threshold and graded out")

    def __call__(self, completion: Completion, example: Example) -> Score:
        wanted = column(example, self.column) if self.language is None else self.language
        if not wanted or (self.rows == "yuan" and _spared(example)):
            return Score(score=1.0)
        code, text = language_code(str(wanted)), prose(completion.text)
        if self.rule == "yuan":
            return Score(score=float(self._passes_yuan(code, text, example)))
        share = self._share(SCRIPTS[code], text, example)
        return Score(score=share if self.graded else float(share >= self.threshold))

    def _share(self, scripts: frozenset[str], text: str, example: Example) -> float:
        """The share of words in `scripts`; 1 where no word counts."""
        ours, others = 0, 0
        excused = self._excused(example)
        for word, script in words(text):
            if script in scripts:
                ours += 1
            elif len(word) > 1 or script not in _OF_VARIABLES:
                others += word.casefold() not in excused
        return ours / (ours + others) if ours + others else 1.0

    def _excused(self, example: Example) -> set[str]:
        """Words that are no sign of another language."""
        asked = {word.casefold() for word, _ in words(text_of(example.messages))}
        return asked | {word.casefold() for word in self.allowed}

    def _passes_yuan(self, code: str, text: str, example: Example) -> bool:
        if code == "en":
            letters = Counter(script for script in map(script_of, text) if script is not None)
            return letters["CJK"] < _YUAN_LIMIT * letters.total() or not letters
        if code in ("zh", "cn"):
            code_task = column(example, "reward_method") == _YUAN_CODE
            limit = _YUAN_CODE_LIMIT if code_task else _YUAN_LIMIT
            excused = self._excused(example)
            found = [word for word, script in words(text) if script == "LATIN" and len(word) > 1]
            english = sum(word.casefold() not in excused for word in found)
            chinese = sum(script == "CJK" for _, script in words(text))
            return english < limit * (english + chinese) or not english
        return True


def _spared(example: Example) -> bool:
    method = str(column(example, "reward_method"))
    return "mllm" in method or "sft" in method or reflected(example)

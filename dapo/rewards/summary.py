"""Summaries and free-form answers: how much of the reference's wording they share, by ROUGE and BLEU."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dapo.errors import UserError
from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.golds import golds
from dapo.verify.text import CJK, half_width

_LIBRARIES = {
    "rouge1": "rouge_score",
    "rouge2": "rouge_score",
    "rougeL": "rouge_score",
    "rougeLsum": "rouge_score",
    "bleu": "sacrebleu",
}
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
_CHINESE = re.compile(rf"[{CJK}]")


@dataclass(frozen=True)
class Reward:
    """The weighted mean of ROUGE F1 and BLEU, from 0 to 1, against the reference it is best for.

    Read is what stands after the thinking. ROUGE counts words as rouge-score does, without stemming, but
    those of any alphabet, and Chinese, Japanese and Korean by characters. BLEU is sacrebleu's of a sentence,
    over 100, with its Chinese tokens where the reference has such characters.

    Yuan3.0's rag_summary is 0.25 ROUGE-1 + 0.25 ROUGE-2 + 0.5 BERTScore, and half of each ROUGE where
    BERTScore's server does not answer; its fetaqa is BLEU. BERTScore needs a model and is not here: ROUGE-L
    has its place by default.

    Needs the libraries of `pip install "dapo[summaries]"`. Raises UserError without them.
    """

    name: ClassVar[str] = "summary"

    weights: Mapping[str, float] = field(
        default_factory=lambda: {"rouge1": 0.25, "rouge2": 0.25, "rougeL": 0.5}
    )
    """Weight of rouge1, rouge2, rougeL, rougeLsum and bleu; they must sum to 1. `{"bleu": 1}` for fetaqa."""
    threshold: float | None = None
    """Score 1 from this mean on, else 0, instead of the mean."""
    golds: str | None = None
    """Column of the references. None: `answers` where there is one, else the answer."""
    window: int = 10_000
    """How many characters of the completion are read: ROUGE-L takes time in the product of both lengths."""

    def __post_init__(self) -> None:
        unknown = sorted(self.weights.keys() - _LIBRARIES.keys())
        if unknown:
            raise ValueError(f"weights: there is no {unknown[0]!r}; there are {', '.join(_LIBRARIES)}")
        if min(self.weights.values(), default=0) <= 0 or abs(sum(self.weights.values()) - 1) > 1e-6:
            raise ValueError(f"weights must be above 0 and sum to 1, not {dict(self.weights)}")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], not {self.threshold}; None grades by the mean")
        if self.window < 1:
            raise ValueError(f"window must be at least 1 character, not {self.window}")
        for library in {_LIBRARIES[metric] for metric in self.weights}:
            if importlib.util.find_spec(library) is None:
                raise UserError(f'the reward summary needs {library}: pip install "dapo[summaries]"')

    def __call__(self, completion: Completion, example: Example) -> Score:
        answer = after_thinking(completion.text).strip()[: self.window]
        if not answer:
            return Score(0.0)
        value = max(self._mean(answer, reference) for reference in golds(example, self.golds))
        if self.threshold is not None:
            value = float(value >= self.threshold)
        return Score(value, answer=answer)

    def _mean(self, answer: str, reference: str) -> float:
        values = _rouge(answer, reference, [metric for metric in self.weights if metric != "bleu"])
        if "bleu" in self.weights:
            values["bleu"] = _bleu(answer, reference)
        return min(sum(weight * values[metric] for metric, weight in self.weights.items()), 1.0)


class _Words:
    """The words of a text, in the form rouge-score asks its tokenizers for."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(half_width(text).lower())


def _rouge(answer: str, reference: str, metrics: Sequence[str]) -> dict[str, float]:
    if not metrics:
        return {}
    from rouge_score.rouge_scorer import RougeScorer

    scores = RougeScorer(list(metrics), tokenizer=_Words()).score(reference, answer)
    return {metric: float(score.fmeasure) for metric, score in scores.items()}


def _bleu(answer: str, reference: str) -> float:
    import sacrebleu

    tokens = "zh" if _CHINESE.search(reference) else "13a"
    return float(sacrebleu.sentence_bleu(answer, [reference], tokenize=tokens).score) / 100

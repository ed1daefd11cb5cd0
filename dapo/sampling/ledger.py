"""The prompt ledger: what earlier groups of a prompt say about the next one.

DAPO (arXiv 2503.14476, Eq. 11) throws away groups whose completions are all right or all wrong. Most of
them come from prompts that were all right or all wrong before, so it pays to skip these (GRESO,
arXiv 2506.02177). The ledger keeps for each prompt the Beta posterior of its pass rate, derives from it
the probability that a new group carries a signal, and skips a prompt the more often the smaller that is.
No prompt is ever given up: evidence fades as the policy moves on, and every prompt is visited with at
least the probability `floor`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dapo.core.signal import TOLERANCE, has_signal, signal_probability
from dapo.errors import UserError
from dapo.types import Prompt

SHARPNESS = 3
"""Power with which visits fall off below the threshold. On fixed pass rates a linear fall (1) forgoes a
third of what a step (infinity) saves, 3 less than a tenth; and unlike a step it is mild where evidence is
thin, as after a single small group."""


@dataclass(frozen=True)
class LedgerSettings:
    """When the ledger skips a prompt. With the defaults, a prompt whose only group was uniform (16
    completions, just seen) is visited every twentieth time, 100 steps later about every third time."""

    enabled: bool = False
    """Whether prompts are skipped. Evidence is recorded either way."""
    floor: float = 0.05
    """Smallest probability of visiting any prompt."""
    half_life_steps: float = 50.0
    """After so many training steps evidence counts half."""
    threshold: float = 0.9
    """Prompts at least this promising are always visited. The measure is their probability of a signal
    over that of a prompt never seen, so that it means the same for every group size."""
    prior: float = 0.2
    """Completions right, and as many wrong, that a prompt is credited with at first (for graded scores:
    groups with and without a signal). Below 1 it says that most prompts are nearly always right or wrong."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.floor <= 1:
            raise ValueError("floor must lie in [0.05, 1]: without revisits no skipped prompt would return")
        if not self.half_life_steps > 0:
            raise ValueError("half_life_steps must be greater than 0 (.inf: evidence never fades)")
        if not 0 < self.threshold <= 1:
            raise ValueError("threshold must lie in (0, 1]; 1 is the promise of a prompt never seen")
        if not 0 < self.prior < math.inf:
            raise ValueError("prior must be greater than 0; 1 is the uniform prior, less leans to the ends")


@lru_cache(maxsize=64)
def _unseen_p_signal(prior: float, group_size: int) -> float:
    return signal_probability(prior, prior, group_size)


@dataclass
class _Record:
    """Evidence about one prompt, as of `last_step`; later it counts for less."""

    groups: float = 0.0
    signals: float = 0.0
    """Groups that carried a signal."""
    completions: float = 0.0
    passes: float = 0.0
    """Sum of the scores: with verdicts of 0 and 1, the number of right completions."""
    mean_tokens: float = 0.0
    """Sum over the groups of their mean completion tokens."""
    last_step: int = 0
    attempts: int = 0
    """Groups ever seen, however long ago."""
    graded: bool = False
    """True once the signal of a group did not follow from how many of its completions were right."""


_DTYPES = {"last_step": torch.int64, "attempts": torch.int64, "graded": torch.bool}


@dataclass
class _Tally:
    """Prompts met since the last `take_step_metrics`, and the pass rates of those seen before."""

    visited: int = 0
    skipped: int = 0
    visited_known: int = 0
    visited_rates: float = 0.0
    skipped_rates: float = 0.0

    def add(self, skip: bool, rate: float | None) -> None:
        """`rate` is None for a prompt never seen, which is never skipped."""
        if skip:
            self.skipped += 1
            self.skipped_rates += rate or 0.0
            return
        self.visited += 1
        if rate is not None:
            self.visited_known += 1
            self.visited_rates += rate


class Ledger:
    """Evidence of earlier groups by prompt id, and what follows from it. Steps are training steps.

    Raises ValueError wherever a step lies before the last one recorded for the prompt.
    """

    def __init__(self, settings: LedgerSettings) -> None:
        self.settings = settings
        self._records: dict[str, _Record] = {}
        self._tally = _Tally()
        self._skipped = 0

    def record(
        self, prompt_id: str, scores: Sequence[float], signal: bool, step: int, mean_tokens: float
    ) -> None:
        """Enter a graded group.

        Args:
            prompt_id: id of the example.
            scores: of its completions, in [0, 1].
            signal: whether the filter found a signal in the group.
            step: training step in which the group counts.
            mean_tokens: mean length of the completions, in tokens.
        """
        if not scores or not all(0 <= score <= 1 for score in scores):
            raise ValueError(f"prompt {prompt_id!r}: a group needs scores, all in [0, 1], not {list(scores)}")
        record = self._records.setdefault(prompt_id, _Record(last_step=step))
        weight = self._weight(prompt_id, record, step)
        record.groups = record.groups * weight + 1
        record.signals = record.signals * weight + signal
        record.completions = record.completions * weight + len(scores)
        record.passes = record.passes * weight + sum(scores)
        record.mean_tokens = record.mean_tokens * weight + mean_tokens
        record.last_step = step
        record.attempts += 1
        verdicts = all(min(score, 1 - score) <= TOLERANCE for score in scores)
        record.graded |= not verdicts or signal != has_signal(scores)

    def p_signal(self, prompt_id: str, group_size: int, step: int) -> float:
        """Probability that a new group of the prompt carries a signal.

        For graded scores it is the posterior mean of 'had a signal' over groups, of whatever size.
        """
        prior = self.settings.prior
        record = self._records.get(prompt_id)
        if record is None:
            return _unseen_p_signal(prior, group_size)
        weight = self._weight(prompt_id, record, step)
        if record.graded:
            return (prior + weight * record.signals) / (2 * prior + weight * record.groups)
        passes = weight * record.passes
        failures = max(0.0, weight * record.completions - passes)
        return signal_probability(prior + passes, prior + failures, group_size)

    def pass_rate(self, prompt_id: str, step: int) -> float | None:
        """Posterior mean of the pass rate (the mean score, for graded scores); None if never seen."""
        record = self._records.get(prompt_id)
        if record is None:
            return None
        weight, prior = self._weight(prompt_id, record, step), self.settings.prior
        return (prior + weight * record.passes) / (2 * prior + weight * record.completions)

    def expected_tokens(self, prompt_id: str) -> float | None:
        """Mean completion tokens of the prompt's earlier groups, recent ones counting more.

        None if the prompt was never seen.
        """
        record = self._records.get(prompt_id)
        return None if record is None else record.mean_tokens / record.groups

    def visit_probability(self, prompt_id: str, group_size: int, step: int) -> float:
        """Probability of not skipping the prompt while the ledger is enabled: 1 if it was never seen."""
        record = self._records.get(prompt_id)
        if record is None:
            return 1.0
        # Both are `p_signal` without evidence: of groups, or of completions.
        unseen = 0.5 if record.graded else _unseen_p_signal(self.settings.prior, group_size)
        always = self.settings.threshold * unseen
        p_signal = self.p_signal(prompt_id, group_size, step)
        if p_signal >= always:
            return 1.0
        return max(self.settings.floor, (p_signal / always) ** SHARPNESS)

    def skips(self, prompt: Prompt, group_size: int, step: int, seed: int) -> bool:
        """Whether to skip the prompt at this visit, which is counted for the metrics.

        The draw depends on the seed, the prompt's id and its visit alone; the probability on what was
        recorded. Ask once per visit.
        """
        prompt_id = prompt.example.id
        skip = self.settings.enabled and (
            _uniform(seed, prompt_id, prompt.visit) >= self.visit_probability(prompt_id, group_size, step)
        )
        self._tally.add(skip, self.pass_rate(prompt_id, step))
        self._skipped += skip
        return skip

    def table(self, group_size: int, step: int) -> Iterator[dict[str, Any]]:
        """What is known of each prompt, for people to read."""
        for prompt_id, record in self._records.items():
            yield {
                "id": prompt_id,
                "attempts": record.attempts,
                "last_step": record.last_step,
                "pass_rate": self.pass_rate(prompt_id, step),
                "p_signal": self.p_signal(prompt_id, group_size, step),
                "mean_tokens": self.expected_tokens(prompt_id),
            }

    def metrics(self, group_size: int, step: int) -> dict[str, float]:
        """What the ledger knows. Takes time in proportion to the prompts known, about 3 microseconds each."""
        known = len(self._records)
        values = {"ledger/prompts": float(known), "ledger/skipped_total": float(self._skipped)}
        if not known:
            return values
        rates = [rate for name in self._records if (rate := self.pass_rate(name, step)) is not None]
        visits = sum(self.visit_probability(name, group_size, step) for name in self._records)
        return {
            **values,
            "ledger/pass_rate": sum(rates) / known,
            # What an enabled ledger would skip now, enabled or not.
            "ledger/skip_share": 1 - visits / known,
        }

    def take_step_metrics(self) -> dict[str, float]:
        """What was visited and skipped since the last call, which starts the count anew.

        Pass rates are posterior means over prompts seen before, at the time of the visit. `met_pass_rate`
        covers both: what would have been visited without the ledger. A mean over nothing is left out.
        """
        tally, self._tally = self._tally, _Tally()
        known = tally.visited_known + tally.skipped
        means = {
            "visited": (tally.visited_rates, tally.visited_known),
            "skipped": (tally.skipped_rates, tally.skipped),
            "met": (tally.visited_rates + tally.skipped_rates, known),
        }
        return {
            "ledger/visited": float(tally.visited),
            "ledger/skipped": float(tally.skipped),
            **{f"ledger/{name}_pass_rate": total / count for name, (total, count) in means.items() if count},
        }

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Columns with an entry per prompt (float64, int64, bool), and values fit for JSON."""
        rows = self._records.values()
        columns = {
            column.name: torch.tensor(
                [getattr(row, column.name) for row in rows], dtype=_DTYPES.get(column.name, torch.float64)
            )
            for column in fields(_Record)
        }
        values = {"prompts": list(self._records), "skipped": self._skipped, "tally": asdict(self._tally)}
        return columns, values

    def load_state_dict(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on exactly as the ledger that `state_dict` described. What this one knew is forgotten.

        Raises UserError where columns are missing or have another length than the list of prompts.
        """
        prompts = values["prompts"]
        names = [column.name for column in fields(_Record)]
        wrong = [name for name in names if name not in tensors or len(tensors[name]) != len(prompts)]
        if wrong:
            raise UserError(
                f"the saved prompt ledger lists {len(prompts)} prompts, which its columns {', '.join(wrong)} "
                "do not match; resume from an older checkpoint"
            )
        rows = zip(*(tensors[name].tolist() for name in names), strict=True)
        self._records = {prompt: _Record(*row) for prompt, row in zip(prompts, rows, strict=True)}
        self._tally = _Tally(**values["tally"])
        self._skipped = values["skipped"]

    def _weight(self, prompt_id: str, record: _Record, step: int) -> float:
        """What the evidence of `record` counts at `step`."""
        age = step - record.last_step
        if age < 0:
            raise ValueError(
                f"prompt {prompt_id!r} was recorded in step {record.last_step}: step {step} lies before it"
            )
        return float(0.5 ** (age / self.settings.half_life_steps))


def _uniform(seed: int, prompt_id: str, visit: int) -> float:
    """A number in [0, 1) with 53 random bits, a function of its arguments."""
    text = "\x1f".join((str(seed), "ledger", prompt_id, str(visit)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53

"""Evaluation: the same code inside training and in `dapo eval`, so it gives the same numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dapo.backends.base import Generator
from dapo.core.estimates import avg_at_k, majority, pass_at_k
from dapo.core.intervals import UNBOUNDED, UNIT, Interval, mean_intervals
from dapo.core.verl_bootstrap import verl_figures
from dapo.grading.grader import Grader
from dapo.run.eval_records import EvalRecord, records_of
from dapo.types import Group, Prompt, RepetitionStop, SamplingParams

Groups = list[list[EvalRecord]]
"""The completions of each prompt, graded."""

_PATIENCE = 0.2
"""Seconds between two looks at whether the scores are still wanted."""


@dataclass(frozen=True)
class EvalSettings:
    """How a policy is measured. Apart from training's sampling, and not reached by the run's seed."""

    every: int = 0
    """Steps between evaluations; 0 means only before the first step and after the last."""
    completions: int = 4
    """Completions per prompt: the k of avg@k. The DAPO paper has 32 for AIME."""
    limit: int | None = None
    """Evaluate on the first so many prompts only."""
    max_completion_tokens: int | None = None
    """Left out, as in training."""
    temperature: float = 1.0
    top_p: float = 1.0
    """The DAPO paper validates with 0.7, at temperature 1 (arXiv 2503.14476, section 4.1)."""
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError("every must be at least 0 (0: only before the first step and after the last)")
        for name in ("completions", "limit", "max_completion_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.sampling()

    def sampling(self, stop: Sequence[str] = (), repetition: RepetitionStop | None = None) -> SamplingParams:
        return SamplingParams(
            completions_per_prompt=self.completions,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=stop,
            repetition=repetition,
            seed=self.seed,
            purpose="eval",
        )


class Evaluation:
    """k graded completions of each prompt, and what they say about the policy."""

    def __init__(self, groups: Groups) -> None:
        """Raises ValueError without prompts, or where they have different numbers of completions."""
        sizes = {len(group) for group in groups}
        if len(sizes) != 1:
            found = ", ".join(map(str, sorted(sizes))) or "none"
            raise ValueError(f"an evaluation has the same number of completions for each prompt, not {found}")
        self.groups = groups
        [self.k] = sizes

    @cached_property
    def per_prompt(self) -> dict[str, NDArray[np.float64]]:
        """The figures of `metrics`, prompt by prompt."""
        k, scores = self.k, [[record.score for record in group] for group in self.groups]
        right = [sum(record.right for record in group) for group in self.groups]
        figures: dict[str, Any] = {f"avg@{k}": [avg_at_k(row) for row in scores]}
        for j in _powers_of_two(k):
            figures[f"pass@{j}"] = pass_at_k(k, right, j)
        figures[f"maj@{k}"] = [
            majority([record.extracted for record in group], row)
            for group, row in zip(self.groups, scores, strict=True)
        ]
        if k > 1:
            figures[f"best@{k}"] = [max(row) for row in scores]
            figures[f"worst@{k}"] = [min(row) for row in scores]
        figures["completion/mean_tokens"] = self._means(lambda record: record.tokens)
        figures["completion/truncated_share"] = self._means(lambda record: record.truncated)
        figures["reward/no_answer_share"] = self._means(
            lambda record: record.extracted is None and record.error is None
        )
        figures["reward/ungraded_share"] = self._means(lambda record: record.error is not None)
        return {name: np.asarray(values, dtype=np.float64) for name, values in figures.items()}

    @cached_property
    def intervals(self) -> dict[str, Interval | None]:
        """95 % bootstrap intervals over prompts, of every figure in `metrics`; None where there is none."""
        values = self.per_prompt
        bounds = [UNBOUNDED if name == "completion/mean_tokens" else UNIT for name in values]
        found = mean_intervals(np.stack(list(values.values()), axis=1), bounds)
        return dict(zip(values, found, strict=True))

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Means over prompts, each with the ends `/low` and `/high` of its 95 % interval.

        `avg@k`, unbiased `pass@j` for j = 1, 2, 4, ... k, `maj@k`, the best and the worst score of a prompt
        as `best@k` and `worst@k`, mean length in tokens, and the shares of completions that were cut at the
        limit, in which no answer was found, and that could not be graded.
        """
        metrics: dict[str, float] = {}
        for name, values in self.per_prompt.items():
            metrics[name] = float(values.mean())
            interval = self.intervals[name]
            if interval is not None:
                metrics |= {f"{name}/low": interval.low, f"{name}/high": interval.high}
        return metrics

    @property
    def accuracy(self) -> float:
        """avg@k."""
        return self.metrics[f"avg@{self.k}"]

    @property
    def finds_answers(self) -> bool:
        """False where the reward takes no answer out of a completion: then nothing can vote for maj@k.

        Seen in a right completion; where all are wrong, it is believed to look for one.
        """
        found = any(record.extracted is not None for record in self.completions)
        return found or not any(record.right for record in self.completions)

    def by_source(self) -> dict[str, Evaluation]:
        """An evaluation for each `data_source` of the prompts."""
        sources: dict[str, Groups] = {}
        for group in self.groups:
            sources.setdefault(group[0].source, []).append(group)
        return {source: Evaluation(groups) for source, groups in sources.items()}

    def verl_metrics(self, name: str) -> dict[str, float]:
        """By verl's names and its own bootstrap (see `dapo.core.verl_bootstrap`), for comparisons with it.

        `val-core/SOURCE/acc/...` for mean, best and majority over all completions, `val-aux/SOURCE/acc/...`
        for the others. `name` stands for the source of prompts that have none.
        """
        metrics: dict[str, float] = {}
        for source, part in self.by_source().items():
            rows = [
                verl_figures(
                    [record.score for record in group],
                    [record.extracted for record in group] if self.finds_answers else None,
                )
                for group in part.groups
            ]
            for figure in rows[0]:
                core = figure.startswith(("mean", "maj", "best")) and f"@{self.k}" in figure
                place = f"{'val-core' if core else 'val-aux'}/{source or name}/acc/{figure}"
                metrics[place] = float(np.mean([row[figure] for row in rows]))
        return metrics

    @property
    def completions(self) -> list[EvalRecord]:
        """All of them, prompt by prompt."""
        return [record for group in self.groups for record in group]

    def records(self) -> list[dict[str, Any]]:
        """One record per completion, for writing down."""
        return [dict(vars(record)) for record in self.completions]

    def _means(self, value: Callable[[EvalRecord], float]) -> list[float]:
        return [float(np.mean([value(record) for record in group])) for group in self.groups]


def evaluate(
    generator: Generator,
    prompts: Sequence[Prompt],
    grader: Grader,
    params: SamplingParams,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
    done: Mapping[str, list[EvalRecord]] = MappingProxyType({}),
    write: Callable[[list[EvalRecord]], None] = lambda records: None,
) -> Evaluation:
    """Sample and grade every prompt, both at once.

    Args:
        progress: called with the number of prompts that are done, and of all.
        check: called now and then; it may raise.
        done: prompts that need not be sampled, by id.
        write: called with the completions of each prompt as soon as they, and all that ended before, are
            graded.

    Raises:
        ValueError: without prompts, or where two have one id.
    """
    if not prompts:
        raise ValueError("there is no prompt to evaluate on: check data.eval and its limit")
    if len({prompt.example.id for prompt in prompts}) < len(prompts):
        raise ValueError("two prompts have one id: give each its own, as build_prompts does")
    groups = {prompt.example.id: done[prompt.example.id] for prompt in prompts if prompt.example.id in done}
    progress(len(groups), len(prompts))
    generation = generator.generate((p for p in prompts if p.example.id not in done), params)
    grading: deque[Future[list[EvalRecord]]] = deque()
    unsampled = len(prompts) - len(groups)
    pool = ThreadPoolExecutor(grader.threads, thread_name_prefix="evaluation")
    try:
        while unsampled or grading:
            check()
            ended = generation.step() if unsampled else []
            unsampled -= len(ended)
            grading += (pool.submit(_graded, grader, group) for group in ended)
            if not unsampled:
                wait([grading[0]], timeout=_PATIENCE)
            while grading and grading[0].done():
                records = grading.popleft().result()
                write(records)
                groups[records[0].id] = records
                progress(len(groups), len(prompts))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return Evaluation([groups[prompt.example.id] for prompt in prompts])


def _graded(grader: Grader, group: Group) -> list[EvalRecord]:
    return records_of(group, grader.grade(group.completions, group.prompt.example))


def _powers_of_two(limit: int) -> list[int]:
    powers = [1]
    while powers[-1] * 2 <= limit:
        powers.append(powers[-1] * 2)
    return powers if powers[-1] == limit else [*powers, limit]

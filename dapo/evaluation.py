"""Evaluation: the same code inside training and in `dapo eval`, so it gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dapo.backends.base import Generator
from dapo.core.estimates import avg_at_k, bootstrap_interval, majority, pass_at_k
from dapo.grading.grader import Grader
from dapo.types import Completion, Group, Prompt, RepetitionStop, SamplingParams, Score

_PATIENCE = 0.2
"""Seconds between two looks at whether the scores are still wanted."""


@dataclass(frozen=True)
class EvalSettings:
    """How a policy is measured. Apart from training's sampling, and not reached by the run's seed."""

    every: int = 0
    """Steps between evaluations; 0 means only before the first step and after the last."""
    completions: int = 4
    """Completions per prompt: the k of avg@k."""
    limit: int | None = None
    """Evaluate on the first so many prompts only."""
    max_completion_tokens: int | None = None
    """Left out, as in training."""
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError("every must be at least 0 (0: only before the first step and after the last)")
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


@dataclass
class Evaluation:
    """Scores of k completions of each prompt, and what they say about the policy."""

    prompts: list[Prompt]
    completions: list[list[Completion]]
    scores: list[list[Score]]
    metrics: dict[str, float] = field(init=False)
    """`avg@k`, unbiased `pass@j` for j = 1, 2, 4, ... k and `maj@k`, each with the ends `/low` and
    `/high` of its 95 % bootstrap interval over prompts; mean length and the share cut at the limit."""

    def __post_init__(self) -> None:
        self.metrics = _metrics(self)

    @property
    def accuracy(self) -> float:
        """avg@k."""
        return self.metrics[f"avg@{len(self.scores[0])}"]

    def records(self) -> list[dict[str, Any]]:
        """One record per completion, for writing down."""
        return [
            {
                "id": prompt.example.id,
                "prompt": [dict(message) for message in prompt.example.messages],
                "answer": prompt.example.answer,
                "completion": completion.text,
                "finish_reason": completion.finish_reason,
                "tokens": len(completion),
                "extracted": score.answer,
                "score": score.score,
                "error": score.error,
            }
            for prompt, completions, scores in zip(self.prompts, self.completions, self.scores, strict=True)
            for completion, score in zip(completions, scores, strict=True)
        ]


def evaluate(
    generator: Generator,
    prompts: Sequence[Prompt],
    grader: Grader,
    params: SamplingParams,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Sample and grade every prompt, both at once. `check` is called now and then, and may raise.

    Raises:
        ValueError: without prompts.
    """
    if not prompts:
        raise ValueError("there is no prompt to evaluate on: check data.eval and its limit")
    groups: dict[int, tuple[Group, Future[list[Score]]]] = {}
    numbered = {id(prompt): number for number, prompt in enumerate(prompts)}
    generation = generator.generate(iter(prompts), params)
    pool = ThreadPoolExecutor(grader.threads, thread_name_prefix="evaluation")
    try:
        while len(groups) < len(prompts):
            check()
            for group in generation.step():
                graded = pool.submit(grader.grade, group.completions, group.prompt.example)
                groups[numbered[id(group.prompt)]] = group, graded
                progress(len(groups), len(prompts))
        ordered = [groups[number] for number in range(len(prompts))]
        while wait((graded for _, graded in ordered), timeout=_PATIENCE).not_done:
            check()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    scores = [graded.result() for _, graded in ordered]
    return Evaluation(list(prompts), [group.completions for group, _ in ordered], scores)


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    k = len(evaluation.scores[0])
    values = [[score.score for score in scores] for scores in evaluation.scores]
    correct = np.array([sum(value >= 0.5 for value in row) for row in values])
    per_prompt = {f"avg@{k}": [avg_at_k(row) for row in values]}
    for j in _powers_of_two(k):
        per_prompt[f"pass@{j}"] = [pass_at_k(k, int(c), j) for c in correct]
    per_prompt[f"maj@{k}"] = [
        majority([score.answer for score in scores], row)
        for scores, row in zip(evaluation.scores, values, strict=True)
    ]
    metrics: dict[str, float] = {}
    for name, numbers in per_prompt.items():
        low, high = bootstrap_interval(numbers)
        metrics |= {name: float(np.mean(numbers)), f"{name}/low": low, f"{name}/high": high}
    flat = [completion for completions in evaluation.completions for completion in completions]
    metrics["completion/mean_tokens"] = float(np.mean([len(completion) for completion in flat]))
    metrics["completion/truncated_share"] = float(np.mean([completion.truncated for completion in flat]))
    return metrics


def _powers_of_two(limit: int) -> list[int]:
    powers = [1]
    while powers[-1] * 2 <= limit:
        powers.append(powers[-1] * 2)
    return powers if powers[-1] == limit else [*powers, limit]

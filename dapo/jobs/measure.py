"""`dapo eval`: a model and a task, without a training run around them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dapo.backends.local import LocalSampler
from dapo.data.prompts import build_prompts
from dapo.engine.sampler import SamplerSettings
from dapo.evaluation import EvalSettings, Evaluation, evaluate
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.model import ModelSettings, check_context, context_length, load_codec
from dapo.recipe.resolve import reward_from, task_from
from dapo.recipe.settings import build


@dataclass(frozen=True)
class Measurement:
    """What to measure, and how."""

    model: ModelSettings
    task: str | dict[str, Any]
    eval: EvalSettings = field(default_factory=EvalSettings)
    reward: Any = None
    max_completion_tokens: int | None = None
    """Left out: 2048, or half of what the model can read where that is less."""
    max_prompt_tokens: int | None = None
    """Left out: what the model can read besides a completion."""
    grading: GradingSettings = field(default_factory=GradingSettings)
    slots: int | None = None
    """Sequences in flight at most. Left out: by memory."""
    stop: tuple[str, ...] = ()


def measure(
    settings: Mapping[str, Any], progress: Callable[[int, int], None] = lambda done, total: None
) -> Evaluation:
    """Evaluate a model on the held-out examples of a task; on its training examples if it has no others."""
    wanted = build(Measurement, settings, "")
    codec = load_codec(wanted.model)
    prompt_tokens, completion_tokens = _lengths(wanted)
    task = task_from(wanted.task, "task")
    limit = wanted.eval.limit
    examples = task.eval() or task.train()
    prompts, _ = build_prompts(examples, codec, prompt_tokens, completion_tokens, limit)
    reward = task.reward if wanted.reward is None else reward_from(wanted.reward)
    longest = max((len(prompt.token_ids) + prompt.max_completion_tokens for prompt in prompts), default=None)
    sampler = LocalSampler(wanted.model, SamplerSettings(wanted.slots, sequence_tokens=longest), codec)
    params = wanted.eval.sampling(wanted.stop)
    with Workers(wanted.grading) as workers:
        grader = Grader(reward, wanted.grading.error_score, workers)
        return evaluate(sampler, prompts, grader, params, progress)


def _lengths(wanted: Measurement) -> tuple[int, int]:
    """Limits on prompts and completions, in tokens."""
    context = context_length(wanted.model)
    if context is None:
        return wanted.max_prompt_tokens or sys.maxsize, wanted.max_completion_tokens or 2048
    completion_tokens = wanted.max_completion_tokens or min(2048, context // 2)
    prompt_tokens = wanted.max_prompt_tokens or max(1, context - completion_tokens)
    check_context(wanted.model, prompt_tokens + completion_tokens)
    return prompt_tokens, completion_tokens

"""A whole step of ours, as `Trainer.train_step` makes it where dynamic sampling is off.

Put together by hand so that every part can be timed, and so that model and prompts need no recipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from _model import make_codec

from dapo.algorithms import PRESETS
from dapo.backends.local import LocalBackend
from dapo.engine.sampler import SamplerSettings
from dapo.learning import agreement
from dapo.learning import samples as rows
from dapo.learning.learner import LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings
from dapo.types import Completion, Example, Group, Prompt, SamplingParams, Score

LEARNING_RATE = 1e-6
"""Small enough that the lengths stay what they are."""
ALGORITHM = replace(PRESETS["dapo"], soft_overlong=None)


def reward(completion: Completion) -> Score:
    """The share of even token ids: cheap, and different within every group."""
    ids = completion.token_ids
    return Score(sum(token % 2 == 0 for token in ids) / len(ids))


def make_backend(job: dict[str, Any]) -> LocalBackend:
    return LocalBackend(
        ModelSettings(job["model"], precision=job["precision"]),
        sampler=SamplerSettings(slots=job["prompts_per_step"] * job["group_size"]),
        learner=LearnerSettings(tokens_per_batch=job["tokens_per_batch"]),
        optimizer=OptimizerSettings(lr=LEARNING_RATE, weight_decay=0.0),
        temperature=1.0,
        codec=make_codec(job["can_end"]),
    )


def step(backend: LocalBackend, prompts: Sequence[Prompt], params: SamplingParams) -> dict[str, float]:
    """One step with one optimizer update. Returns its seconds, by part, and its tokens."""
    times = [time.perf_counter()]
    groups = sorted(backend.generate(iter(prompts), params), key=lambda group: group.prompt.number)
    graded = [_graded(group) for group in groups]
    times.append(time.perf_counter())
    samples = rows.to_samples(graded, ALGORITHM)
    version = backend.policy_version if backend.exact_sampler else None
    backend.annotate(samples, reference=False, entropies=False)
    agreement.check(samples, version)
    times.append(time.perf_counter())
    rows.set_advantages(graded, samples, ALGORITHM)
    rows.set_weights(samples, ALGORITHM, version)
    backend.update(samples, rows.totals_of(samples), ALGORITHM, 0.0)
    backend.sync()
    times.append(time.perf_counter())
    seconds = [later - earlier for earlier, later in pairwise(times)]
    parts = dict(zip(("sample", "annotate", "update"), seconds, strict=True))
    return {**parts, "seconds": times[-1] - times[0], "tokens": sum(group.tokens for group in groups)}


def _graded(group: Group) -> Any:
    scores = [reward(completion) for completion in group.completions]
    return rows.with_rewards(group, scores, ALGORITHM, group.prompt.max_completion_tokens)


def ours(job: dict[str, Any]) -> Callable[[], dict[str, float]]:
    """Loads, makes one step to warm up, and returns what makes the next."""
    backend = make_backend(job)
    codec, number, size = backend.codec, 0, job["prompts_per_step"]

    def measure() -> dict[str, float]:
        nonlocal number
        prompts = []
        for text in job["prompts"][:size]:
            example = Example(str(number), (), "")
            prompts.append(Prompt(example, codec.encode_completion(text), job["limit"], number=number))
            number += 1
        return step(backend, prompts, SamplingParams(completions_per_prompt=job["group_size"]))

    measure()
    return measure

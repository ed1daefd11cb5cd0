"""A model and a set of prompts, without a training run around them."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dapo.backends.local import LocalSampler
from dapo.data.dedupe import prompt_key
from dapo.data.prompts import build_prompts
from dapo.data.report import DataReport
from dapo.engine.sampler import SamplerSettings
from dapo.evaluation import EvalSettings, Evaluation, evaluate
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.jobs.data import graded_by
from dapo.model import ModelSettings, check_context, context_length, load_codec
from dapo.recipe.resolve import reward_from, task_from
from dapo.recipe.settings import build
from dapo.text import TextCodec
from dapo.types import Example, Prompt, SamplingParams

_SAMPLED_BYTES = 65536


@dataclass(frozen=True)
class Measurement:
    """What to measure, and how."""

    model: ModelSettings
    task: str | dict[str, Any]
    eval: EvalSettings = field(default_factory=EvalSettings)
    """`completions` left out: 4, or as often as the data hold every prompt (AIME 2024 of DAPO: 32 times)."""
    reward: Any = None
    """Left out: the task's own."""
    max_completion_tokens: int | None = None
    """Left out: 2048, or half of what the model can read where that is less."""
    max_prompt_tokens: int | None = None
    """Left out: what the model can read besides a completion."""
    grading: GradingSettings = field(default_factory=GradingSettings)
    slots: int | None = None
    """Sequences in flight at most. Left out: by memory."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptSet:
    """Prompts, how they are to be answered, and what grades the answers."""

    prompts: list[Prompt]
    grader: Grader
    params: SamplingParams
    asked: dict[str, Any]
    """All that the completions and their scores depend on, as plain data."""
    notes: list[str]
    """What the user should know of the data, a line each."""


def prepare(settings: Mapping[str, Any], codec: TextCodec, workers: Workers) -> PromptSet:
    """Read the held-out examples of a task, or its training examples if it has no others.

    Args:
        settings: of a `Measurement`.
        workers: where rewards run that need a process of their own.

    Raises UserError for what has to be put right in the settings or in the data.
    """
    wanted = build(Measurement, settings, "")
    task = task_from(wanted.task, "task")
    held_out = task.eval()
    examples = held_out or task.train()
    times = _repeats(examples)
    if times > 1 and "completions" not in settings.get("eval", {}):
        wanted = replace(wanted, eval=replace(wanted.eval, completions=times))
    prompt_tokens, completion_tokens = _lengths(wanted)
    prompts, report = build_prompts(examples, codec, prompt_tokens, completion_tokens, wanted.eval.limit)
    reward = task.reward if wanted.reward is None else reward_from(wanted.reward)
    notes = [] if held_out else ["the task holds nothing out: these are its training examples"]
    notes += _remarks(report, times, wanted.eval.completions)
    params = wanted.eval.sampling(wanted.stop)
    asked = _asked(wanted, prompts, params, completion_tokens)
    grader = Grader(reward, wanted.grading.error_score, workers)
    graded = grader.prepare(prompt.example for prompt in prompts)
    notes += [graded_by(graded)] if grader.chooses else []
    return PromptSet(prompts, grader, params, asked, [*notes, *grader.notes])


def load_sampler(
    model: ModelSettings, slots: int | None, sets: Sequence[PromptSet], codec: TextCodec
) -> LocalSampler:
    """The model, with room for the longest sequence of these sets."""
    longest = max(len(p.token_ids) + p.max_completion_tokens for one in sets for p in one.prompts)
    return LocalSampler(model, SamplerSettings(slots, sequence_tokens=longest), codec)


def measure(
    settings: Mapping[str, Any], progress: Callable[[int, int], None] = lambda done, total: None
) -> Evaluation:
    """Evaluate a model on one set, and write nothing down. `settings` are those of a `Measurement`."""
    wanted = build(Measurement, settings, "")
    codec = load_codec(wanted.model)
    with Workers(wanted.grading) as workers:
        ready = prepare(settings, codec, workers)
        sampler = load_sampler(wanted.model, wanted.slots, [ready], codec)
        return evaluate(sampler, ready.prompts, ready.grader, ready.params, progress)


def _lengths(wanted: Measurement) -> tuple[int, int]:
    """Limits on prompts and completions, in tokens."""
    context = context_length(wanted.model)
    asked = wanted.eval.max_completion_tokens or wanted.max_completion_tokens
    if context is None:
        return wanted.max_prompt_tokens or sys.maxsize, asked or 2048
    completion_tokens = asked or min(2048, context // 2)
    prompt_tokens = wanted.max_prompt_tokens or max(1, context - completion_tokens)
    check_context(wanted.model, prompt_tokens + completion_tokens)
    return prompt_tokens, completion_tokens


def _repeats(examples: Sequence[Example]) -> int:
    """How often every prompt stands in the data; 1 where that is not the same for all."""
    times = set(Counter(prompt_key(example) for example in examples).values())
    return times.pop() if len(times) == 1 else 1


def _remarks(report: DataReport, times: int, completions: int) -> list[str]:
    notes = []
    if times > 1:
        kept = report.kept + report.unread + report.overlong
        notes.append(
            f"the data hold {kept:,} prompts, each {times} times: every prompt counts once, with "
            f"{completions} completions"
            + ("" if times == completions else f" (left out, completions is {times}, one for each row)")
        )
    elif report.duplicates:
        notes.append(f"{report.duplicates:,} rows repeat a prompt; every prompt counts once")
    if report.conflicts:
        notes.append(f"{report.conflicts:,} prompts stand there with several answers; the first is used")
    if report.overlong:
        notes.append(
            f"{report.overlong:,} prompts are longer than {report.max_prompt_tokens:,} tokens and left out"
        )
    return notes


def _asked(
    wanted: Measurement, prompts: Sequence[Prompt], params: SamplingParams, completion_tokens: int
) -> dict[str, Any]:
    model, digest = wanted.model, hashlib.blake2b(digest_size=8)
    for prompt in prompts:
        digest.update(repr((prompt.example.id, list(prompt.token_ids), prompt.example.answer)).encode())
    return {
        "model": model.path,
        "weights": model.revision or weights_digest(Path(model.path).expanduser()),
        "precision": model.precision,
        "task": wanted.task,
        "reward": _reward_name(wanted.reward),
        "prompts": len(prompts),
        "prompts_digest": digest.hexdigest(),
        "completions": params.completions_per_prompt,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "seed": params.seed,
        "stop": list(params.stop),
        "max_completion_tokens": completion_tokens,
    }


def _reward_name(reward: Any) -> Any:
    if reward is None:
        return "the task's own"
    if not callable(reward):
        return reward
    kind = reward if hasattr(reward, "__qualname__") else type(reward)
    return f"{kind.__module__}:{kind.__qualname__}"


def weights_digest(directory: Path) -> str | None:
    """Tells the weights in a directory from others, by a look at a few places of each file.

    None for a model of the hub.
    """
    if not directory.is_dir():
        return None
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(directory.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for place in (0, size // 2, max(0, size - _SAMPLED_BYTES)):
                file.seek(place)
                digest.update(file.read(_SAMPLED_BYTES))
    return digest.hexdigest()

"""Seconds of a step by a roofline: operations over a rate, or bytes over a bandwidth, whichever is longer."""

from __future__ import annotations

from dataclasses import dataclass

from dapo.planning.gpus import Gpu
from dapo.planning.layout import Layout
from dapo.planning.shape import ModelShape


@dataclass(frozen=True)
class Assumptions:
    """What no config says. Each can be given."""

    mean_completion: float = 0.4
    """Mean length of completions, as a share of their limit."""
    mean_prompt: float = 0.25
    """Mean length of prompts, as a share of their limit."""
    signal_share: float = 0.5
    """Share of groups that carry a signal: dynamic sampling generates 1 / this as many."""
    train_efficiency: float = 0.4
    """Of the peak rate of operations, reached in learning and in reading prompts."""
    decode_efficiency: float = 0.6
    """Of the peak bandwidth, reached in decoding."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value <= 1:
                raise ValueError(f"{name} must lie in (0, 1]: it is a share")


@dataclass(frozen=True)
class Work:
    """What a step of the recipe asks for."""

    prompts: int
    group: int
    max_prompt_tokens: int
    max_completion_tokens: int
    dynamic: bool
    """Groups without a signal are replaced by new ones."""
    shared: bool
    """A prompt is read once for its group."""
    old_pass: float
    """Share of samples whose old log-probabilities the learner computes."""
    reference: bool
    checkpointing: bool
    overlaps: bool
    """Sampling may run ahead of learning (max_staleness of 1 or more)."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step on average, and the tokens it trains."""

    generate: float
    annotate: float
    update: float
    total: float
    trained_tokens: float
    generated_tokens: float
    in_flight: float
    """Sequences in flight per sampler, on average."""


def step_time(
    shape: ModelShape,
    gpu: Gpu,
    layout: Layout,
    work: Work,
    given: Assumptions,
    *,
    width: int,
    slots: int,
) -> StepTime:
    """`width` is the bytes of a number in the learner's products; `slots` those of each sampler."""
    prompt = given.mean_prompt * work.max_prompt_tokens
    completion = given.mean_completion * work.max_completion_tokens
    samples = work.prompts * work.group
    rate = (gpu.float32 if width == 4 else gpu.bfloat16) * given.train_efficiency
    read = samples * completion + prompt * (work.prompts if work.shared else samples)
    forward = (2 * shape.active * read + samples * _attention(shape, prompt + completion)) / (
        rate * layout.learner_ranks
    )
    annotate = forward * (work.old_pass + work.reference)
    update = forward * (4 if work.checkpointing else 3)
    groups = work.prompts / (given.signal_share if work.dynamic else 1.0)
    drawn = groups * work.group / layout.samplers
    flight = min(slots, drawn)
    tick = _tick(shape, gpu, layout, given, flight, prompt + completion / 2, width)
    ticks = max(drawn * completion / flight, work.max_completion_tokens)
    prefill = 2 * shape.active * groups * prompt / (rate * layout.sampler_ranks)
    generate = ticks * tick + prefill
    learn = annotate + update
    apart = not layout.colocated and work.overlaps
    total = max(generate, learn) if apart else generate + learn
    generated = groups * work.group * completion
    in_flight = drawn * completion / ticks
    return StepTime(generate, annotate, update, total, samples * completion, generated, in_flight)


def _attention(shape: ModelShape, length: float) -> float:
    """Operations of causal attention over one sequence: two products of 2 each, over half of length^2."""
    return 2 * shape.layers * shape.queries * length**2


def _tick(
    shape: ModelShape, gpu: Gpu, layout: Layout, given: Assumptions, flight: float, context: float, width: int
) -> float:
    """Seconds of one token for everything in flight: weights and cache read once, or operations."""
    width = 2 if layout.engine == "vllm" else width
    size = layout.sampler_tensor_parallel
    touched = 1.0
    if shape.experts:
        touched = 1 - (1 - shape.experts_per_token / shape.experts) ** flight
    weights = (shape.layer_matrices + shape.head + touched * shape.expert_parameters) * width
    cache = flight * context * 2 * shape.layers * shape.keys * width
    rate = (gpu.float32 if width == 4 else gpu.bfloat16) * given.train_efficiency
    operations = flight * (2 * shape.active + 4 * shape.layers * shape.queries * context)
    return max(
        (weights + cache) / (gpu.bandwidth * given.decode_efficiency * size), operations / (rate * size)
    )

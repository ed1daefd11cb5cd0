"""The plan of a run: memory of each kind of rank, whether it fits, what to change, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dapo.planning.activations import FULL, BatchShape, Compute
from dapo.planning.gpus import Gpu
from dapo.planning.layout import Layout
from dapo.planning.learner import LearnerMemory, Sharding, learner_memory
from dapo.planning.sampler import Flight, SamplerMemory, sampler_memory
from dapo.planning.shape import ModelShape
from dapo.planning.timing import Assumptions, StepTime, Work, step_time

RESERVED = 2 * 10**9
"""Bytes of a GPU for the CUDA context, libraries and communication, unless said otherwise."""


@dataclass(frozen=True)
class Asked:
    """Everything a plan is computed from."""

    shape: ModelShape
    gpu: Gpu
    layout: Layout
    work: Work
    flight: Flight
    tokens_per_batch: int
    samples_per_update: int
    width: int
    """Bytes of a number in products: 4 for float32, 2 for bfloat16."""
    linear_head: bool = True
    assumptions: Assumptions = field(default_factory=Assumptions)
    reserved: int = RESERVED

    @property
    def usable(self) -> float:
        """Bytes of a GPU."""
        return float(self.gpu.memory - self.reserved)


@dataclass(frozen=True)
class Advice:
    """A change of one setting, and the bytes it saves on the rank that needs them."""

    setting: str
    change: str
    saves: float


@dataclass(frozen=True)
class Rank:
    """A kind of GPU: what lies on it at its height."""

    role: str
    parts: Mapping[str, float]
    moment: str
    usable: float

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def margin(self) -> float:
        """Bytes left; negative where it does not fit."""
        return self.usable - self.total


@dataclass(frozen=True)
class Plan:
    """What `dapo plan` prints."""

    ranks: tuple[Rank, ...]
    learner: LearnerMemory
    sampler: SamplerMemory
    batch: BatchShape
    advice: tuple[Advice, ...]
    step: StepTime

    @property
    def fits(self) -> bool:
        return all(rank.margin >= 0 for rank in self.ranks)


def make_plan(asked: Asked) -> Plan:
    """Work everything out."""
    learner, sampler, batch = _memory(asked)
    ranks = _ranks(asked, learner, sampler)
    step = step_time(
        asked.shape,
        asked.gpu,
        asked.layout,
        asked.work,
        asked.assumptions,
        width=asked.width,
        slots=sampler.slots,
    )
    advice = _advice(asked, ranks) if any(rank.margin < 0 for rank in ranks) else ()
    return Plan(ranks, learner, sampler, batch, advice, step)


def largest_batch(asked: Asked) -> BatchShape:
    """Samples at their limits: as many as the budget of tokens holds, at least one."""
    work = asked.work
    longest = work.max_prompt_tokens + work.max_completion_tokens
    samples = max(1, asked.tokens_per_batch // longest)
    # Shorter samples fill a budget that no sample of full length does.
    places = max(longest, asked.tokens_per_batch)
    share = work.max_completion_tokens / longest
    prompts = places * (1 - share)
    if work.shared:
        prompts *= -(-samples // work.group) / samples
    return BatchShape(round(places * share + prompts), places, round(places * share), work.shared)


def _memory(asked: Asked) -> tuple[LearnerMemory, SamplerMemory, BatchShape]:
    layout, batch = asked.layout, largest_batch(asked)
    compute = Compute(asked.width, asked.work.checkpointing, asked.linear_head, layout.tensor_parallel)
    longest = asked.work.max_prompt_tokens + asked.work.max_completion_tokens
    tokens = asked.samples_per_update * longest / layout.data_parallel
    learner = learner_memory(
        asked.shape,
        batch,
        compute,
        sharding=Sharding(layout.learner_ranks, layout.tensor_parallel),
        several_batches=tokens > batch.places,
        reference=asked.work.reference,
    )
    room = asked.usable - (learner.resident if layout.colocated else 0.0)
    borrows = layout.colocated and layout.learner_ranks == 1
    sampler = sampler_memory(asked.shape, layout, asked.flight, asked.width, room, borrows)
    return learner, sampler, batch


def _ranks(asked: Asked, learner: LearnerMemory, sampler: SamplerMemory) -> tuple[Rank, ...]:
    """Apart, each kind has a GPU of its own; together, the learner's states stay while sampling, and the
    embedded sampler's weights while learning (vLLM sleeps, and gives all of its memory back)."""
    usable = asked.usable
    own = {f"sampler: {name}": value for name, value in sampler.parts.items()}
    if not asked.layout.colocated:
        return (
            Rank("learner", learner.parts, learner.moment, usable),
            Rank("sampler", own, "all slots at full length", usable),
        )
    stay = {name: learner.parts[name] for name in ("parameters", "optimizer", "reference")}
    awake = {} if asked.layout.engine == "vllm" else {n: v for n, v in own.items() if "cache" not in n}
    return (
        Rank("while learning", {**learner.parts, **awake}, learner.moment, usable),
        Rank("while sampling", stay | own, "all slots at full length", usable),
    )


def _advice(asked: Asked, ranks: tuple[Rank, ...]) -> tuple[Advice, ...]:
    """Changes of one setting each, what it saves where most is missing: what costs nothing comes first."""
    worst = min(range(len(ranks)), key=lambda place: ranks[place].margin)
    found = []
    for setting, change, other in _changes(asked):
        learner, sampler, _ = _memory(other)
        saves = ranks[worst].total - _ranks(other, learner, sampler)[worst].total
        if saves > 0:
            found.append(Advice(setting, change, saves))
    return tuple(found)


def _changes(asked: Asked) -> list[tuple[str, str, Asked]]:
    """Free of cost first, then what costs time, then what costs GPUs or another computation."""
    work, layout, flight = asked.work, asked.layout, asked.flight
    longest = work.max_prompt_tokens + work.max_completion_tokens
    changes: list[tuple[str, str, Asked]] = []
    if asked.tokens_per_batch > longest:
        change = replace(asked, tokens_per_batch=longest)
        changes.append(("learner.tokens_per_batch", f"{longest}, one sample of full length", change))
    slots = flight.slots or flight.most
    if slots > 1:
        half = replace(asked, flight=replace(flight, slots=max(1, slots // 2)))
        changes.append(("generation.slots", f"{max(1, slots // 2)}", half))
    if not work.checkpointing:
        change = replace(asked, work=replace(work, checkpointing=True))
        changes.append(("model.gradient_checkpointing", "true", change))
    if asked.width == FULL:
        changes.append(("model.precision", "bfloat16", replace(asked, width=2)))
    double = 2 * layout.tensor_parallel
    if layout.learner_ranks % double == 0 and asked.shape.key_value_heads % double == 0:
        change = replace(asked, layout=replace(layout, tensor_parallel=double))
        changes.append(("--tp", f"{double}", change))
    if layout.engine == "embedded":
        change = replace(asked, layout=replace(layout, engine="vllm"))
        changes.append(("--engine", "vllm", change))
    twice = replace(
        layout, gpus=2 * layout.gpus, sampler_gpus=layout.sampler_gpus and 2 * layout.sampler_gpus
    )
    changes.append(("--gpus", f"{2 * layout.gpus}", replace(asked, layout=twice)))
    return changes

"""What a trained group costs under different sampling policies, on prompts with fixed pass rates.

    python benchmarks/dynamic_sampling.py [--quick]

17,000 prompts, 512 groups of 16 completions a step, 60 steps, visited epoch by epoch. Ours runs through the
package's own scheduler over a simulated sampler; the peers' policies are small models of what their code
does, as documented beside each. All see the same prompts in the same order with the same verdicts.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from _harness import Row, report

from dapo.core.signal import has_signal
from dapo.data.stream import PromptStream
from dapo.sampling.ledger import LedgerSettings
from dapo.sampling.scheduler import DynamicSampler
from dapo.sampling.settings import SamplingSettings
from dapo.sampling.simulation import Array, SimulatedSampler, grade, population
from dapo.sampling.verdicts import Grading
from dapo.types import Group, Prompt

POPULATIONS = {"U-shaped": (0.25, 0.25), "hard": (0.13, 1.0), "easy": (0.5, 0.13)}
"""Beta distributions of pass rates; at 16 completions 51, 34 and 39 % of new groups carry a signal."""
LEDGER_TARGETS = {"U-shaped": 0.75, "hard": 0.60, "easy": 0.65}


@dataclass(frozen=True)
class Size:
    prompts: int = 17_000
    per_step: int = 512
    group: int = 16
    steps: int = 60


@dataclass
class Cost:
    """Groups and tokens generated, and distinct groups with a signal that were trained."""

    groups: int = 0
    tokens: int = 0
    trained: int = 0
    discarded: int = 0
    """Groups with a signal that were generated and thrown away."""
    failed_steps: int = 0

    def per_trained(self) -> float:
        return self.groups / max(1, self.trained)


def lengths(source: np.random.Generator, right: Array) -> Array:
    """Log-normal, mean about 30 tokens, at most 200."""
    drawn: Array = np.clip(source.lognormal(3.0, 0.9, len(right)), 1, 200).astype(int)
    return drawn


def generated(prompts: Iterator[Prompt], size: Size) -> Iterator[tuple[Group, bool]]:
    """Groups one after another, with whether they carry a signal: what the peers generate in blocks."""
    sampler = SimulatedSampler(size.group, size.group, lengths)
    for group in sampler.generate(prompts):
        yield group, has_signal(grade(group).scores)


def block(groups: Iterator[tuple[Group, bool]], count: int, cost: Cost) -> int:
    """Generate a block. Returns how many of its groups carry a signal."""
    found = 0
    for group, signal in itertools.islice(groups, count):
        cost.groups += 1
        cost.tokens += group.tokens
        found += signal
    return found


def verl(groups: Iterator[tuple[Group, bool]], size: Size) -> Cost:
    """Blocks of three times the batch until it is full, at most ten; the surplus of the last is cut off.

    Where ten do not suffice the original raises and the run is over; here the step counts as failed.
    """
    cost = Cost()
    for _ in range(size.steps):
        found = 0
        for _ in range(10):
            found += block(groups, 3 * size.per_step, cost)
            if found >= size.per_step:
                break
        cost.failed_steps += found < size.per_step
        cost.trained += min(found, size.per_step)
        cost.discarded += max(0, found - size.per_step)
    return cost


def swift(groups: Iterator[tuple[Group, bool]], size: Size) -> Cost:
    """The batch, then up to three more of its size. Not full: the first batch is trained unfiltered, and
    what was accepted is dropped. Full: the surplus is cut off."""
    cost = Cost()
    for _ in range(size.steps):
        first = found = block(groups, size.per_step, cost)
        for _ in range(3):
            if found >= size.per_step:
                break
            found += block(groups, size.per_step, cost)
        full = found >= size.per_step
        cost.failed_steps += not full
        cost.trained += size.per_step if full else first
        cost.discarded += found - (size.per_step if full else first)
    return cost


def ads(groups: Iterator[tuple[Group, bool]], size: Size) -> Cost:
    """One block; what carries a signal is trained, and repeated to whole mini-batches of an eighth."""
    cost = Cost()
    for _ in range(size.steps):
        cost.trained += block(groups, size.per_step, cost)
    return cost


def ours(prompts: list[Prompt], size: Size, sampling: SamplingSettings) -> Cost:
    """The package's scheduler."""
    machine = SimulatedSampler(size.group, slots=size.group * size.per_step, lengths=lengths)
    sampler = DynamicSampler(
        stream=PromptStream(prompts, seed=0),
        grading=Grading(grade, sampling.verdict_delay),
        settings=sampling,
        policy="refill",
        prompts_per_step=size.per_step,
        group_size=size.group,
        groups_per_update=size.per_step // 16,
        seed=0,
    )
    cost, accepted = Cost(), 0
    for step in range(size.steps):

        def generate(work: object, version: int = step) -> object:
            return machine.generate(work, version)  # type: ignore[arg-type]

        sampled = sampler.collect(generate, step, version=step)  # type: ignore[arg-type]
        account = sampled.account
        cost.groups += account.groups["generated"]
        cost.tokens += account.tokens["generated"]
        cost.trained += len(sampled.trained)
        cost.failed_steps += sampled.short
        accepted += sum(group.kept for group in sampled.finished)
    # What waits was paid for and will be trained: it is no cost of the steps before.
    cost.discarded = accepted - cost.trained - sum(entry.kept for entry in sampler.entries)
    cost.groups -= len(sampler.entries)
    cost.tokens -= sum(entry.tokens for entry in sampler.entries)
    return cost


Peer = Callable[[Iterator[tuple[Group, bool]], Size], Cost]
PEERS: dict[str, Peer] = {"verl": verl, "ms-swift": swift, "ADS (Yuan3.0)": ads}


def measure(name: str, size: Size) -> list[Row]:
    """The targets are for the full size."""
    a, b = POPULATIONS[name]
    rates = np.random.default_rng(1).beta(a, b, size.prompts)
    prompts = population({str(index): float(rate) for index, rate in enumerate(rates)})
    share = float(np.mean(1 - rates**size.group - (1 - rates) ** size.group))
    streaming = ours(prompts, size, SamplingSettings())
    ledger = ours(prompts, size, SamplingSettings(ledger=LedgerSettings(enabled=True)))
    costs = {label: peer(generated(PromptStream(prompts, 0), size), size) for label, peer in PEERS.items()}
    bound, paid = 1 / share, streaming.per_trained()
    unit = "groups generated per group trained"
    rows = [
        Row(f"{name}: theoretical minimum 1/P(signal)", bound, unit),
        *_compared(f"{name}: streaming refill", streaming, bound, "minimum", 1.05),
        *_compared(f"{name}: with ledger", ledger, paid, "streaming", LEDGER_TARGETS[name]),
    ]
    for label, cost in costs.items():
        rows.append(
            Row(
                f"{name}: {label}",
                cost.per_trained(),
                unit,
                "ours",
                cost.per_trained() / streaming.per_trained(),
            )
        )
        rows.append(Row(f"{name}: {label}, accepted groups discarded", cost.discarded, "groups"))
        rows.append(Row(f"{name}: {label}, steps not filled", cost.failed_steps, "steps"))
    return rows


def _compared(figure: str, cost: Cost, base: float, peer: str, target: float) -> list[Row]:
    ratio = cost.per_trained() / base
    unit = "groups generated per group trained"
    return [
        Row(figure, cost.per_trained(), unit, peer, ratio, f"<= {target}", ratio <= target),
        Row(f"{figure}, tokens", cost.tokens / max(1, cost.trained), "tokens generated per group trained"),
        Row(
            f"{figure}, accepted groups discarded",
            cost.discarded,
            "groups",
            "",
            None,
            "0",
            cost.discarded == 0,
        ),
        Row(f"{figure}, steps not filled", cost.failed_steps, "steps"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, within a minute")
    quick = parser.parse_args().quick
    size = Size(1_700, 64, 16, 30) if quick else Size()
    started = time.monotonic()
    rows = [row for name in POPULATIONS for row in measure(name, size)]
    report("dynamic_sampling", rows, {"size": vars(size)}, quick=quick)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

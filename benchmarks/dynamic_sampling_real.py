"""Sampling policies on a real training: the quickstart, to 95 % accuracy.

    python benchmarks/dynamic_sampling_real.py [--seeds 3] [--quick]

Every policy trains the quickstart's base through the package's own trainer, learner and sampler; only what a
step samples and keeps differs. The peers' policies are written down below as their code does it. Reports
the seconds and the tokens until the accuracy on held-out sums reaches 95 % (evaluated after every second
step; the seconds are those of the steps), the groups generated per group trained, and the final accuracy.
Two trainings run side by side, one thread each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import Row, report

from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe
from dapo.sampling.sampled import Sampled
from dapo.sampling.scheduler import DynamicSampler, Generate
from dapo.types import GradedGroup

ROOT = Path(__file__).parent.parent
GOAL = 0.95

GenerateBlock = Callable[[int], list[GradedGroup]]
Chosen = tuple[list[GradedGroup], list[GradedGroup]]
"""What is trained, and what is not."""


def verl(
    generate: Callable[[int], list[GradedGroup]], size: int
) -> tuple[list[GradedGroup], list[GradedGroup]]:
    """Blocks of three steps' size until the step is full, at most ten; the surplus is cut off.

    After ten the original raises; here the step trains on what there is.
    """
    kept: list[GradedGroup] = []
    dropped: list[GradedGroup] = []
    for _ in range(10):
        for group in generate(3 * size):
            (kept if group.verdict == "signal" else dropped).append(group)
        if len(kept) >= size:
            break
    return kept[:size], dropped + kept[size:]


def swift(
    generate: Callable[[int], list[GradedGroup]], size: int
) -> tuple[list[GradedGroup], list[GradedGroup]]:
    """A block, and up to three more. Still not full: the first block is trained as it is."""
    blocks = [generate(size)]
    while sum(group.verdict == "signal" for block in blocks for group in block) < size and len(blocks) < 4:
        blocks.append(generate(size))
    groups = [group for block in blocks for group in block]
    kept = [group for group in groups if group.verdict == "signal"][:size]
    if len(kept) < size:
        kept = blocks[0]
    chosen = {id(group) for group in kept}
    return kept, [group for group in groups if id(group) not in chosen]


class BlockSampler(DynamicSampler):
    """Samples in blocks, as the peers do: each is drained before anything is decided."""

    blocks: Callable[[GenerateBlock, int], Chosen]

    def collect(self, generate: Generate, step: int, version: int, **_: Any) -> Sampled:
        result = self._begin(step, version)

        def block(count: int) -> list[GradedGroup]:
            prompts = iter([self.prompts.pull(step, lambda: 1) for _ in range(count)])
            generation = generate(prompts)
            groups = [self.grading._grade(group) for group in generation]  # type: ignore[attr-defined]
            for group in groups:
                group.verdict = self._filter(group)
            result.ticks += generation.tick
            result.finished += groups
            result.account.add("generated", count, generation.drawn)
            return sorted(groups, key=lambda group: group.prompt.number)

        result.trained, rejected = type(self).blocks(block, self.prompts_per_step)
        result.account.add("trained", len(result.trained), sum(group.tokens for group in result.trained))
        for group in result.trained:
            group.kept = True
        for group in rejected:
            group.kept = False
            fate = "aborted" if group.verdict == "signal" else str(group.verdict)
            result.account.add(fate, 1, group.tokens)
        result.rejected = rejected
        return result


class VerlSampler(BlockSampler):
    blocks = staticmethod(verl)


class SwiftSampler(BlockSampler):
    blocks = staticmethod(swift)


@dataclass(frozen=True)
class Policy:
    """Settings of the recipe, and the sampler where it is not the package's own."""

    overrides: dict[str, Any]
    sampler: type[DynamicSampler] = DynamicSampler


ON_POLICY = {"sampling.max_staleness": 0}
LEDGER = {"sampling.ledger.enabled": True}
POLICIES = {
    "ours, carry 1": Policy({"sampling.max_staleness": 1}),
    "ours, carry 0": Policy(ON_POLICY),
    "ours, carry 1, ledger": Policy({"sampling.max_staleness": 1, **LEDGER}),
    "ours, carry 0, ledger": Policy({**ON_POLICY, **LEDGER}),
    "ADS (Yuan3.0)": Policy({**ON_POLICY, "sampling.policy": "complete"}),
    "verl": Policy(ON_POLICY, VerlSampler),
    "ms-swift": Policy(ON_POLICY, SwiftSampler),
}


def train(name: str, seed: int, steps: int, directory: str) -> None:
    """One training, in a process of its own."""
    policy = POLICIES[name]
    fixed = {"seed": seed, "num_steps": steps, "run.dir": directory, "run.trackers": [], "eval.every": 2}
    run = Run(load_recipe(ROOT / "recipes/quickstart.yaml", {**fixed, **policy.overrides}))
    run.trainer.sampler.__class__ = policy.sampler
    run.train()


def outcome(directory: Path) -> dict[str, float]:
    """What a training cost until it reached the goal, and where it ended."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, float] = {"seconds": math.inf, "tokens": math.inf, "ticks": math.inf}
    sums = dict.fromkeys(("seconds", "tokens", "ticks", "generated", "trained"), 0.0)
    waiting = 0.0
    for line in lines:
        if "time/step" in line:
            sums["seconds"] += line["time/step"]
            sums["ticks"] += line["sampler/ticks"]
            sums["tokens"] += line["sampling/generated_tokens"]
            sums["generated"] += line["sampling/generated"]
            sums["trained"] += line["sampling/trained"]
            waiting = line["sampling/carried_out"]
        elif line["eval/avg@4"] >= GOAL and found["seconds"] == math.inf:
            found |= {name: sums[name] for name in ("seconds", "tokens", "ticks")}
    accuracies = [line["eval/avg@4"] for line in lines if "eval/avg@4" in line]
    groups = (sums["generated"] - waiting) / sums["trained"]
    return found | {"accuracy": accuracies[-1], "groups": groups, "total": sums["seconds"]}


def measure(seeds: Sequence[int], steps: int) -> dict[str, list[dict[str, float]]]:
    with tempfile.TemporaryDirectory() as scratch:

        def one(job: tuple[str, int]) -> dict[str, float]:
            name, seed = job
            directory = Path(scratch) / f"{list(POLICIES).index(name)}-{seed}"
            command = [sys.executable, __file__, "--one", name, str(seed), str(steps), str(directory)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            found = outcome(directory)
            print(name, seed, {key: round(value, 3) for key, value in found.items()}, flush=True)
            return found

        jobs = [(name, seed) for seed in seeds for name in POLICIES]
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(one, jobs))
    return {name: [r for (n, _), r in zip(jobs, results, strict=True) if n == name] for name in POLICIES}


def rows_of(results: dict[str, list[dict[str, float]]]) -> list[Row]:
    units = {
        "seconds": f"s of steps to {GOAL:.0%} (median)",
        "tokens": f"tokens to {GOAL:.0%} (median)",
        "ticks": f"sampler ticks to {GOAL:.0%} (median)",
        "groups": "groups generated per group trained (median)",
        "accuracy": "final accuracy (median)",
    }
    base = {key: statistics.median(found[key] for found in results["ours, carry 0"]) for key in units}
    return [
        Row(name, value := statistics.median(f[key] for f in found), unit, "ours, carry 0", value / base[key])
        for key, unit in units.items()
        for name, found in results.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--quick", action="store_true", help="one seed, two steps; writes no results")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, seed, steps, directory = given.one
        train(name, int(seed), int(steps), directory)
        return
    if given.quick:
        given.seeds, given.steps = 1, 2
    results = measure(range(30, 30 + given.seeds), given.steps)
    report("dynamic_sampling_real", rows_of(results), {**vars(given), "runs": results}, quick=given.quick)


if __name__ == "__main__":
    main()

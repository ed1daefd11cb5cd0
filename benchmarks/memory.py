"""What the loss costs in memory and time, and what batches waste on padding.

    python benchmarks/memory.py [--threads 2] [--repetitions 5] [--quick]

The loss stage is everything between hidden states and their gradient: the product with the head, the
log-probabilities of the targets, and both gradients, in float32. The peer computes it plainly: all logits,
log_softmax, gather, autograd.

Memory is measured in a process of its own, on Linux: the highest resident memory of the stage (VmHWM) over
that of the moment before it (VmRSS), when weights, hidden states and the head's gradient of an earlier
backward pass are resident already. Every large tensor is mapped for itself and given back when it is
freed, so this is what the tensors take. The plain stage is measured at two sizes that fit and continued to
the full one: beyond the weight's gradient it grows with each token alike.

Times are ratios of neighbouring runs, ours and plain by turns, and the median of them: other load on the
machine weighs on both. Errors are against float64: of values the largest in nats, of gradients the norm of
the difference over the norm. Useful tokens are those of samples for each token that a forward pass reads:
fewer than 1 by padding, more where a prompt is read once for all of its samples.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from _harness import Row, report
from torch import Tensor
from torch.nn.functional import linear

from dapo.core.linear_logprobs import linear_logprobs
from dapo.learning.batches import Layout, plan, useful_tokens
from dapo.types import Sample

GB = 1e9
Stage = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """Of the loss stage: Qwen2.5-0.5B's head, and the tokens of a large batch."""

    vocabulary: int = 151_936
    hidden: int = 896
    tokens: int = 8192
    plain_tokens: tuple[int, int] = (512, 1536)
    """Where the plain stage's memory is measured."""
    timed_tokens: int = 2048
    exact_tokens: int = 256
    """Where errors are measured."""
    steps: int = 50
    """Of 512 completions each, planned into batches."""


QUICK = Sizes(16_384, 128, 2048, (128, 384), 512, 64, 5)


def ours(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return linear_logprobs(hidden, weight, targets, 1.0)[0]


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    log_softmax = torch.log_softmax(linear(hidden, weight), dim=-1)
    return log_softmax.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


STAGES: dict[str, Stage] = {"ours": ours, "plain": plain}


def inputs(sizes: Sizes, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weight (logits have a standard deviation of 3), targets, and weights of the loss."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.empty(tokens, sizes.hidden).normal_(generator=generator)
    weight = torch.empty(sizes.vocabulary, sizes.hidden)
    weight.normal_(std=3 / sizes.hidden**0.5, generator=generator)
    targets = torch.randint(sizes.vocabulary, (tokens,), generator=generator)
    upstream = torch.empty(tokens).normal_(generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets, upstream


def resident(name: str) -> int:
    """Bytes of VmRSS or VmHWM."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def measure_peak(stage: Stage, sizes: Sizes, tokens: int) -> int:
    """Bytes that forward and backward pass take at their height. For a process of its own."""
    hidden, weight, targets, upstream = inputs(sizes, tokens)
    weight.grad = torch.full_like(weight, 0.1)
    before = resident("VmRSS")
    stage(hidden, weight, targets).backward(upstream)
    return resident("VmHWM") - before


def peak(name: str, tokens: int, given: argparse.Namespace) -> float:
    """GB, measured in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(tokens), "--threads", str(given.threads)]
    command += ["--quick"] if given.quick else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    found: int = json.loads(done.stdout)
    return found / GB


def memory_rows(sizes: Sizes, given: argparse.Namespace) -> list[Row]:
    few, more = sizes.plain_tokens
    low, high = (peak("plain", tokens, given) for tokens in (few, more))
    continued = high + (high - low) / (more - few) * (sizes.tokens - more)
    value = peak("ours", sizes.tokens, given)
    full = sizes == Sizes()
    return [
        Row(f"plain, {few:,} tokens", low, "GB of extra peak memory"),
        Row(f"plain, {more:,} tokens", high, "GB of extra peak memory"),
        Row(f"plain, {sizes.tokens:,} tokens, computed from these", continued, "GB of extra peak memory"),
        Row(
            f"ours, {sizes.tokens:,} tokens",
            value,
            "GB of extra peak memory",
            "plain, computed",
            value / continued,
            "< 1.0" if full else "",
            value < 1.0 if full else None,
        ),
    ]


def time_row(sizes: Sizes, repetitions: int) -> Row:
    hidden, weight, targets, upstream = inputs(sizes, sizes.timed_tokens)
    ratios, seconds = [], []
    for _ in range(repetitions):
        taken = {}
        for name, stage in STAGES.items():
            weight.grad = hidden.grad = None
            started = time.perf_counter()
            stage(hidden, weight, targets).backward(upstream)
            taken[name] = time.perf_counter() - started
        ratios.append(taken["ours"] / taken["plain"])
        seconds.append(taken["ours"])
    ratio, full = statistics.median(ratios), sizes == Sizes()
    return Row(
        f"ours, {sizes.timed_tokens:,} tokens",
        statistics.median(seconds),
        "s (median)",
        "plain",
        ratio,
        "ratio <= 1.3" if full else "",
        ratio <= 1.3 if full else None,
    )


def results(stage: Stage, *given: Tensor) -> list[Tensor]:
    """Log-probabilities and both gradients, in float64."""
    hidden, weight, targets, upstream = given
    hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    logprobs = stage(hidden, weight, targets)
    gradients = torch.autograd.grad(logprobs, (hidden, weight), upstream)
    return [tensor.detach().double() for tensor in (logprobs, *gradients)]


def error_rows(sizes: Sizes) -> list[Row]:
    hidden, weight, targets, upstream = inputs(sizes, sizes.exact_tokens)
    exact = results(plain, hidden.double(), weight.double(), targets, upstream.double())
    errors: dict[str, list[float]] = {}
    for name, stage in STAGES.items():
        values, *gradients = results(stage, hidden, weight, targets, upstream)
        errors[name] = [float((values - exact[0]).abs().max())] + [
            float((found - right).norm() / right.norm())
            for found, right in zip(gradients, exact[1:], strict=True)
        ]
    figures = ("log-probabilities", "gradient of hidden states", "gradient of the head")
    return [
        Row(
            f"error of ours: {figure}",
            own * 1e6,
            "millionths (of a nat, or of the norm)",
            f"plain: {other * 1e6:.3f}",
            own / other,
            "<= 10 (1e-5)",
            own <= 1e-5,
        )
        for figure, own, other in zip(figures, errors["ours"], errors["plain"], strict=True)
    ]


LAYOUTS: tuple[Layout, ...] = ("padded", "shared")


def by_budget(samples: list[Sample], budget: int) -> list[list[Sample]]:
    """The peer of `plan`: longest first, a batch as large as the budget allows."""
    batches: list[list[Sample]] = []
    for sample in sorted(samples, key=lambda sample: -sample.total_tokens):
        if not batches or (len(batches[-1]) + 1) * batches[-1][0].total_tokens > budget:
            batches.append([])
        batches[-1].append(sample)
    return batches


def completions(draw: random.Random) -> list[Sample]:
    """512 samples: log-normal completions (median 64, sigma 0.9, at most 512), 8 to a prompt of 16 to 64."""
    lengths = [min(512, max(1, round(draw.lognormvariate(4.1589, 0.9)))) for _ in range(512)]
    prompts = [[number] * draw.randint(16, 64) for number in range(64)]
    nothing = torch.empty(0)
    return [
        Sample(prompts[place // 8], [0] * length, nothing, nothing) for place, length in enumerate(lengths)
    ]


def useful(samples: list[Sample], budget: int, layout: Layout) -> float:
    """Useful tokens of a step's batches in this layout."""
    planned = [[samples[index] for index in batch] for batch in plan(samples, budget, layout)]
    return useful_tokens(planned, layout)


def padding_rows(sizes: Sizes) -> list[Row]:
    """The worst of many steps, at a small and at the default budget."""
    draw, rows = random.Random(0), []
    steps = [completions(draw) for _ in range(sizes.steps)]
    for budget in (4096, 16_384):
        share, shared = (min(useful(samples, budget, layout) for samples in steps) for layout in LAYOUTS)
        other = min(useful_tokens(by_budget(samples, budget), "padded") for samples in steps)
        figure, peer = f"useful tokens, batches of {budget:,}", f"by budget alone: {other:.3f}"
        unit = "of a token read (worst step)"
        rows.append(Row(f"{figure}, padded", share, unit, peer, share / other, ">= 0.90", share >= 0.9))
        rows.append(Row(f"{figure}, shared", shared, unit, peer, shared / other, ">= 0.90", shared >= 0.9))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no results")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sizes = QUICK if given.quick else Sizes()
    if given.one:
        name, tokens = given.one
        print(measure_peak(STAGES[name], sizes, int(tokens)))
        return
    rows = [
        *memory_rows(sizes, given),
        time_row(sizes, given.repetitions),
        *error_rows(sizes),
        *padding_rows(sizes),
    ]
    settings = {"threads": given.threads, "repetitions": given.repetitions, **vars(sizes)}
    report("memory", rows, settings, quick=given.quick)


if __name__ == "__main__":
    main()

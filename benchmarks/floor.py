"""Where the time of sampling goes, and how far it is from the least this machine could take.

    python benchmarks/floor.py [--threads 2] [--quick]

The two workloads of `sampler.py` in float32. The floor counts operations over the rate of a large matrix
product, and bytes (weights once a tick, keys and values of every token once a tick) over the rate at which
a block of as many bytes as a tick reads is read again and again. Both rates are measured here. Where the
time goes is from a second, profiled run, which is slower than the first: the shares of the operators are
its own, and what is left is Python and dispatch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _engines import Request, ours
from _harness import Row, report
from _model import Size, long_tail, make_model, make_prompts

PROMPT_TOKENS = 32
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu",),
    "norms": ("aten::rms_norm", "aten::pow", "aten::mean", "aten::rsqrt", "aten::mul", "aten::add"),
    "writing the cache": ("aten::index_copy_",),
}
"""Operators by kind; products with cosines and gates count among the norms' multiplications."""


def rate(work: Callable[[], Any], amount: float, repeats: int = 5) -> float:
    """The best of several."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return amount / min(seconds)


@dataclass(frozen=True)
class Floor:
    operations: float
    """Floating-point operations of all tokens of all requests, prompts included."""
    bytes: float
    """Bytes read: weights in each tick, keys and values for each token written."""
    operation_rate: float
    byte_rate: float

    @property
    def seconds(self) -> float:
        return self.operations / self.operation_rate + self.bytes / self.byte_rate


def floor(requests: Sequence[Request], ticks: float, size: Size) -> Floor:
    square = torch.randn(2048, 2048)
    per_token = 2 * (size.hidden // size.heads) * size.key_value_heads * size.layers * 4
    read = (
        sum(per_token * limit * (len(prompt) + (limit + 1) / 2) for prompt, limit in requests)
        + ticks * 4 * size.parameters
    )
    tokens = sum(len(prompt) + limit for prompt, limit in requests)
    memory = torch.ones(int(read / ticks / 4))
    return Floor(
        operations=2.0 * size.parameters * tokens,
        bytes=read,
        operation_rate=rate(lambda: square @ square, 2 * 2048**3),
        byte_rate=rate(lambda: memory.sum(), memory.numel() * 4.0, repeats=50),
    )


def shares(sample: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Of a profiled run's seconds, those inside operators of each kind, and the rest."""
    from torch.profiler import ProfilerActivity, profile

    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        sample()
    seconds = time.perf_counter() - started
    own = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    found = {kind: sum(own.get(name, 0.0) for name in names) / seconds for kind, names in KINDS.items()}
    named = {name for names in KINDS.values() for name in names}
    found["other operators"] = sum(value for name, value in own.items() if name not in named) / seconds
    return found | {"Python and dispatch": 1 - sum(found.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few requests; writes no results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    count = 32 if given.quick else 512
    workloads = {
        "equal lengths": (128, [128] * 128),
        "long tail": (64, long_tail(count)),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        model = make_model(Path(directory) / "model")
        for name, (slots, limits) in workloads.items():
            requests = list(zip(make_prompts(len(limits), PROMPT_TOKENS), limits, strict=True))
            job = {"model": str(model), "precision": "float32", "slots": slots, "requests": requests}
            sample = ours(job)
            found = sample()
            ticks = found["tokens"] / (found["utilisation"] * slots)
            least = floor(requests, ticks, Size())
            ratio = found["seconds"] / least.seconds
            rows.append(Row(f"{name}: seconds", found["seconds"], "s", "floor", ratio))
            rows.append(Row(f"{name}: floor", least.seconds, "s"))
            rows.append(Row(f"{name}: a large product", least.operation_rate / 1e9, "GFLOP/s"))
            rows.append(Row(f"{name}: reading what a tick reads", least.byte_rate / 1e9, "GB/s"))
            rows += [
                Row(f"{name}: {kind}", share, "of a profiled run") for kind, share in shares(sample).items()
            ]
    report("floor", rows, vars(given), quick=given.quick)


if __name__ == "__main__":
    main()

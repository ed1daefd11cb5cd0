"""The embedded sampler beside transformers' two and vLLM's CPU build: useful tokens a second.

    python benchmarks/sampler.py [--bf16] [--repeats 3] [--threads 2] [--quick]

A random model of 3.2 million parameters (`_model.py`) and two workloads of different prompts of 32 tokens:

- equal lengths: 128 sequences of 128 tokens at once; with --bf16 once more in bfloat16
- long tail: 512 requests in 64 slots, their lengths log-normal (median 64, sigma 0.9, limit 512), the same
  for all engines

Nobody stops at an end-of-sequence token: ours has one that the model cannot draw, generate has none,
continuous batching has -1, vLLM ignores it. All draw at temperature 1 from the whole distribution. Each
engine has a process of its own and computes while the others sleep, after a warm-up, in turns; the figures
are medians. A ratio is our tokens a second over the peer's. vLLM needs `make peers`; without it its rows say
so. What the settings of the peers are, `_engines.py` and `peers/vllm_sampler.py` say.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import Row, report
from _model import long_tail, make_model, make_prompts
from _workers import OURS, VLLM, Answers, Missing, Side, measure

PROMPT_TOKENS = 32
CONTINUOUS = {"attention": "sdpa", "page_size": 16, "batch_tokens": 2048}
"""Eager attention and pages of 64 and 256 tokens were slower or no faster in short trials."""
VLLM_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process: two cores have nothing to spare for a second
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True)
class Workload:
    name: str
    lengths: Sequence[int]
    """Tokens to write, request by request."""
    slots: int
    targets: Mapping[str, float]
    """The peers it is compared with, and the ratio to reach."""
    precision: str = "float32"


def workloads(quick: bool, bf16: bool) -> list[Workload]:
    equal = {"generate": 1.5, "vllm": 0.0}
    tail = {"generate": 10.0, "continuous": 8.0, "vllm": 2.0}
    lengths, slots = ([16] * 16, 8) if quick else ([128] * 128, 64)
    found = [
        Workload("equal lengths", lengths, len(lengths), equal),
        Workload("long tail", long_tail(32, 16, limit=64) if quick else long_tail(512), slots, tail),
    ]
    if bf16:
        found.append(Workload("equal lengths, bf16", lengths, len(lengths), equal, "bfloat16"))
    return found


def sides(workload: Workload, model: Path, quick: bool) -> dict[str, Side]:
    prompts = make_prompts(len(workload.lengths), PROMPT_TOKENS)
    job: dict[str, Any] = {
        "model": str(model),
        "requests": list(zip(prompts, workload.lengths, strict=True)),
        "slots": workload.slots,
        "precision": workload.precision,
    }
    found = {
        name: Side(OURS, "_engine_worker.py", {**job, **CONTINUOUS, "engine": name})
        for name in ("ours", *workload.targets)
        if name != "vllm"
    }
    # Compiling takes vLLM longer than a whole quick run.
    vllm = Side(VLLM, "peers/vllm_sampler.py", {**job, "eager": quick}, VLLM_ENVIRONMENT)
    return found | {"vllm": vllm}


def speed(answers: Answers | Missing, workload: Workload) -> float:
    """Median of the tokens a second, all of them useful ones."""
    if isinstance(answers, Missing):
        return math.nan
    assert all(answer["tokens"] == sum(workload.lengths) for answer in answers)
    return statistics.median(answer["tokens"] / answer["seconds"] for answer in answers)


PEERS = {
    "generate": "transformers.generate",
    "continuous": "transformers, continuous batching",
    "vllm": "vLLM (CPU)",
}


def rows_of(workload: Workload, results: Mapping[str, Answers | Missing]) -> tuple[list[Row], list[Row]]:
    """The ratios, and what they are made of."""
    speeds = {name: speed(answers, workload) for name, answers in results.items()}
    ratios, rows = [], [Row(f"{workload.name}: ours", speeds["ours"], "useful tokens/s")]
    for name, target in workload.targets.items():
        answers, peer = results[name], PEERS[name]
        if isinstance(answers, Missing):
            ratios.append(Row(workload.name, math.nan, "useful tokens/s", f"{peer}: {answers}"))
            continue
        ratio = speeds["ours"] / speeds[name]
        wanted = {"target": f">= {target:g}", "ok": ratio >= target} if target else {}
        ratios.append(Row(workload.name, speeds["ours"], "useful tokens/s", peer, ratio, **wanted))
        rows.append(Row(f"{workload.name}: {peer}", speeds[name], "useful tokens/s"))
    ours = results["ours"]
    if not isinstance(ours, Missing):
        rows.append(Row(f"{workload.name}: ours", ours[-1]["utilisation"], "tokens per tick and slot"))
    return ratios, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="equal lengths in bfloat16 too")
    parser.add_argument("--quick", action="store_true", help="tiny workloads, once; writes no results")
    given = parser.parse_args()
    if given.quick:
        given.repeats = 1
    ratios: list[Row] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        model = make_model(Path(scratch))
        for workload in workloads(given.quick, given.bf16):
            shown = sides(workload, model, given.quick)
            results = measure(shown, given.repeats, given.threads, together=given.quick)
            found = rows_of(workload, results)
            ratios, rows = ratios + found[0], rows + found[1]
    report("sampler", ratios + rows, {**vars(given), "continuous batching": CONTINUOUS}, quick=given.quick)


if __name__ == "__main__":
    main()

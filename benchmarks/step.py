"""A whole step of DAPO beside TRL's GRPOTrainer: sampling, log-probabilities, and one optimizer update.

    python benchmarks/step.py [--repeats 5] [--threads 2] [--precision float32 bfloat16] [--quick]

The random model of `_model.py`; 16 prompts of 32 tokens, 8 completions each, and two workloads:

- equal lengths: 128 tokens each, as the end-of-sequence token is one that the model cannot draw
- long tail: at most 512 tokens, ended by the model's own end-of-sequence token (about 1 in 98)

The reward is the share of even token ids, so that every group has a signal. TRL (`make peers`): the same
loss and optimizer (`peers/trl_shared.py`), everything off that costs, transformers.generate for all 128 at
once, and forward and backward passes over --trl-batch completions; in the long tail once more with
transformers' continuous batching. Its log-probabilities of the old policy come out of the update's own
forward pass; ours from the sampler in float32, from a pass of their own in bfloat16. bfloat16 is autocast
on both sides. Each side has a process of its own, a warm-up step, and computes while the others sleep; the
figures are medians. A ratio says how many times as fast ours is.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import Row, report
from _model import make_codec, make_model, make_prompts
from _steps import LEARNING_RATE
from _workers import OURS, TRL, Answers, Missing, Side, measure

PROMPT_TOKENS = 32
GROUP_SIZE = 8
CONTINUOUS = {"page_size": 16, "max_batch_tokens": 4096, "num_blocks": 6144, "allow_block_sharing": False}


@dataclass(frozen=True)
class Workload:
    name: str
    limit: int
    can_end: bool
    targets: Mapping[str, float]
    """How many times as fast as TRL, by precision."""


WORKLOADS = (
    Workload("equal lengths", 128, False, {"float32": 1.2, "bfloat16": 1.3}),
    Workload("long tail", 512, True, {"float32": 10.0, "bfloat16": 10.0}),
)


def sides(workload: Workload, precision: str, given: argparse.Namespace, scratch: Path) -> dict[str, Side]:
    codec = make_codec(workload.can_end)
    codec.save(scratch / f"tokenizer-{workload.name}")
    prompts = make_prompts(given.prompts, PROMPT_TOKENS)
    job: dict[str, Any] = {
        "model": str(scratch / "model"),
        "tokenizer": str(scratch / f"tokenizer-{workload.name}"),
        "scratch": str(scratch / "trl"),
        "prompts": [codec.decode(ids) for ids in prompts],
        "prompts_per_step": given.prompts,
        "group_size": GROUP_SIZE,
        "limit": workload.limit // given.shrink,
        "can_end": workload.can_end,
        "precision": precision,
        "learning_rate": LEARNING_RATE,
        "tokens_per_batch": given.tokens_per_batch,
        "batch": given.trl_batch,
        "continuous": None,
    }
    found = {
        "ours": Side(OURS, "_engine_worker.py", {**job, "engine": "step"}),
        "TRL": Side(TRL, "peers/trl_step.py", job),
    }
    if workload.can_end and precision == "float32":
        found["TRL, continuous batching"] = Side(TRL, "peers/trl_step.py", {**job, "continuous": CONTINUOUS})
    return found


def median(answers: Answers | Missing, name: str) -> float:
    return math.nan if isinstance(answers, Missing) else statistics.median(one[name] for one in answers)


def rows_of(
    workload: Workload, precision: str, results: Mapping[str, Answers | Missing]
) -> tuple[list[Row], list[Row]]:
    """The ratio, and what it is made of."""
    name, unit = f"{workload.name}, {precision}", "s per step"
    ours, target = median(results["ours"], "seconds"), workload.targets[precision]
    ratios: list[Row] = []
    rows = [Row(f"{name}: {side}", median(answers, "seconds"), unit) for side, answers in results.items()]
    for part in ("sample", "annotate", "update"):
        rows.append(Row(f"{name}: ours, {part}", median(results["ours"], part), unit))
    for side, answers in results.items():
        rows.append(Row(f"{name}: {side}", median(answers, "tokens"), "tokens written per step"))
        if isinstance(answers, Missing):
            ratios.append(Row(name, math.nan, unit, f"{side}: {answers}"))
        elif side != "ours":
            ratio = median(answers, "seconds") / ours
            ratios.append(Row(name, ours, unit, side, ratio, f">= {target:g}", ratio >= target))
    return ratios, rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", nargs="+", help="both, where left out")
    parser.add_argument("--trl-batch", type=int, default=128, help="completions in a pass of TRL")
    parser.add_argument("--tokens-per-batch", type=int, default=4096, help="tokens in a pass of ours")
    parser.add_argument("--quick", action="store_true", help="little, once, in float32; writes no results")
    given = parser.parse_args()
    given.prompts, given.shrink = 16, 1
    if given.quick:
        given.repeats, given.prompts, given.shrink, given.trl_batch = 1, 2, 16, 16
    given.precision = given.precision or ["float32"] + ["bfloat16"] * (not given.quick)
    return given


def main() -> None:
    given = arguments()
    ratios: list[Row] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        make_model(scratch / "model")
        for precision in given.precision:
            for workload in WORKLOADS:
                shown = sides(workload, precision, given, scratch)
                results = measure(shown, given.repeats, given.threads, together=given.quick)
                found = rows_of(workload, precision, results)
                ratios, rows = ratios + found[0], rows + found[1]
    report("step", ratios + rows, vars(given), quick=given.quick)


if __name__ == "__main__":
    main()

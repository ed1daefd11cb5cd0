"""The wall-clock time until a policy solves 95 % of the quickstart's held-out sums, ours beside TRL.

    python benchmarks/time_to_accuracy.py [--seeds 3] [--rounds 100] [--threads 2] [--quick]

Both start from recipes/quickstart-base, train on the same sums with the same rewards (right or wrong as 1 or
-1, and soft overlong punishment) and 256 completions a round, 8 for each prompt. Ours is
recipes/quickstart.yaml as it is. TRL (`make peers`) runs twice: with the recipe's learning rate and updates
per round, and with settings tuned for it (--tuned-lr and --tuned-updates, found by hand on seed 30); the
target is for the faster of the two. The accuracy is avg@4 at temperature 1 by the package's own evaluation,
for TRL on the weights that it saves, after every second round; the clock stands still meanwhile, and while
anything loads. One trains at a time. The figures are medians over seeds; a run that has not reached the goal
after --rounds rounds (ours: the recipe's steps) counts as not reached. A ratio says how many times as fast
ours is.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from _harness import Row, report
from _workers import OURS, ROOT, TRL, Missing, Side, Worker

from dapo.backends.local import LocalSampler
from dapo.evaluation import evaluate
from dapo.jobs.data import run_data
from dapo.model import load_codec
from dapo.recipe.config import Recipe, load_recipe
from dapo.recipe.resolve import task_from

GOAL = 0.95
EVERY = 2
TARGET = 3.0
RECIPE = ROOT / "recipes/quickstart.yaml"
Curve = list[dict[str, float]]
"""Rounds, seconds and accuracy at every evaluation."""


def trl_job(recipe: Recipe, scratch: Path) -> dict[str, Any]:
    """The quickstart in TRL's words."""
    codec = load_codec(recipe.model)
    examples = task_from(recipe.data.train, "data.train").train()
    prompts = [codec.decode(codec.encode(example.messages)) for example in examples]
    first = examples[0].messages
    assert codec.encode_completion(prompts[0]) == codec.encode(first), "the prompts have special tokens"
    overlong = recipe.algorithm.soft_overlong
    assert overlong is not None and overlong.max_tokens == recipe.max_completion_tokens
    return {
        "model": recipe.model.path,
        "prompts": prompts,
        "answers": [example.answer for example in examples],
        "completions": recipe.sizes.prompts_per_step * recipe.sizes.group_size,
        "group_size": recipe.sizes.group_size,
        "limit": recipe.max_completion_tokens,
        "overlong_cache": overlong.cache_tokens,
        "learning_rate": recipe.optimizer.lr,
        "updates": recipe.sizes.updates_per_step,
        "every": EVERY,
        "scratch": str(scratch / "trl"),
        "model_out": str(scratch / "model"),
    }


def make_judge(recipe: Recipe, model: Path) -> Callable[[], float]:
    """What measures the accuracy of the weights that lie at `model`."""
    codec = load_codec(recipe.model)
    data = run_data(recipe, codec)
    grader = data.eval_grader
    assert grader is not None

    def judge() -> float:
        sampler = LocalSampler(type(recipe.model)(str(model)), recipe.sampler, codec)
        return evaluate(sampler, data.eval_prompts, grader, recipe.eval.sampling()).accuracy

    return judge


def train(side: Side, judge: Callable[[], float], rounds: int, threads: int) -> Curve:
    """Train until the goal or the limit. Raises Missing."""
    worker = Worker(side, threads)
    curve: Curve = []
    try:
        worker.receive()
        while not curve or (curve[-1]["accuracy"] < GOAL and curve[-1]["rounds"] < rounds):
            found = worker.ask()
            curve.append(found if "accuracy" in found else {**found, "accuracy": judge()})
    finally:
        worker.close()
    return curve


def sides(recipe: Recipe, seed: int, scratch: Path, given: argparse.Namespace) -> dict[str, tuple[Side, int]]:
    """Every side, and the rounds it has."""
    changes = {"seed": seed, "run.dir": str(scratch / f"run-{seed}"), "run.trackers": [], "eval.every": EVERY}
    if given.quick:
        changes["num_steps"] = given.rounds
    job = {**trl_job(recipe, scratch), "seed": seed}
    tuned = {"learning_rate": given.tuned_lr, "updates": given.tuned_updates}
    environment = {"PYTHONPATH": str(ROOT)}
    ours = Side(OURS, "_train_worker.py", {"recipe": str(RECIPE), "changes": changes})
    steps = recipe.num_steps or 0
    return {
        "ours": (ours, min(given.rounds, steps)),
        "TRL, the recipe's settings": (Side(TRL, "peers/trl_train.py", job, environment), given.rounds),
        "TRL, tuned": (Side(TRL, "peers/trl_train.py", {**job, **tuned}, environment), given.rounds),
    }


def measure(given: argparse.Namespace) -> dict[str, list[Curve] | Missing]:
    """The curves of every side, seed by seed, the order of the sides reversed each time."""
    recipe = load_recipe(RECIPE)
    results: dict[str, list[Curve] | Missing] = {}
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        judge = make_judge(recipe, scratch / "model")
        for turn in range(given.seeds):
            found = list(sides(recipe, given.first_seed + turn, scratch, given).items())
            for name, (side, rounds) in found if turn % 2 == 0 else reversed(found):
                curves = results.setdefault(name, [])
                if isinstance(curves, Missing):
                    continue
                try:
                    curves.append(train(side, judge, rounds, given.threads))
                except Missing as missing:
                    results[name] = missing
                else:
                    print(name, json.dumps(curves[-1][-1]), flush=True)
    return dict(sorted(results.items(), key=lambda item: item[0] != "ours"))


def median(curves: list[Curve], name: str) -> float:
    """Median of a figure at the goal; infinite where most runs have not reached it."""
    return statistics.median(
        curve[-1][name] if curve[-1]["accuracy"] >= GOAL else math.inf for curve in curves
    )


def rows_of(results: Mapping[str, list[Curve] | Missing], rounds: int) -> list[Row]:
    figure, unit = f"time to {GOAL:.0%}", "s (median over seeds)"
    ours = results["ours"]
    if isinstance(ours, Missing):
        raise SystemExit(f"ours: {ours}")
    own = median(ours, "seconds")
    ratios, rows = [], [Row(f"{figure}: ours", own, unit)]
    peers = {name: curves for name, curves in results.items() if name != "ours"}
    reached = {n: median(c, "seconds") for n, c in peers.items() if not isinstance(c, Missing)}
    for name, curves in peers.items():
        if isinstance(curves, Missing):
            ratios.append(Row(figure, own, unit, f"{name}: {curves}"))
            continue
        seconds = reached[name]
        rows.append(Row(f"{figure}: {name}", seconds, unit))
        if max(own, seconds) == math.inf:
            words = "" if seconds < math.inf else f": not reached in {rounds} rounds"
            ratios.append(Row(figure, own, unit, name + words))
            continue
        ratio, best = seconds / own, seconds == min(reached.values())
        target = {"target": f">= {TARGET:g}", "ok": ratio >= TARGET} if best else {}
        ratios.append(Row(figure, own, unit, name, ratio, **target))
    for name, curves in results.items():
        if not isinstance(curves, Missing):
            rows.append(Row(f"{figure}: {name}", median(curves, "rounds"), "rounds (median over seeds)"))
            final = statistics.median(curve[-1]["accuracy"] for curve in curves)
            rows.append(Row(f"last accuracy: {name}", final, "avg@4 (median over seeds)"))
    return ratios + rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tuned-lr", type=float, default=1e-4)
    parser.add_argument("--tuned-updates", type=int, default=8, help="optimizer updates per round")
    parser.add_argument("--quick", action="store_true", help="one seed, two rounds; writes no results")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.rounds = 1, 2
    torch.set_num_threads(given.threads)
    results = measure(given)
    curves = {name: str(found) if isinstance(found, Missing) else found for name, found in results.items()}
    settings = {**vars(given), "curves": curves}
    report("time_to_accuracy", rows_of(results, given.rounds), settings, quick=given.quick)


if __name__ == "__main__":
    main()

"""A training that is killed again and again, against one that is left alone.

    python benchmarks/crash.py [--kills 50] [--steps 80] [--quick]

Trains the quickstart's base with a checkpoint at every step, once undisturbed and once killed by SIGKILL at
random moments, a quarter of them while a checkpoint is written, and resumed each time. Then compares:
metrics.jsonl without its times byte for byte, every file of rollouts/, and every file of the last checkpoint.
Writes results/crash.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _harness import Row, report

ROOT = Path(__file__).parent.parent
PHASES = ("load", "sample", "annotate", "update", "save", "evaluate", "done")
TIMES = ("time/", "perf/", "reward/latency")
SAVE_SECONDS = 0.04
"""About what a checkpoint takes to be written."""

CHILD = """
import os, sys
from dapo.recipe.config import load_recipe
from dapo.run.console import Console

phases = open(sys.argv[2], "a", buffering=1)
shown = Console.phase
def phase(console, name):
    print(name, file=phases)
    shown(console, name)
Console.phase = phase
from dapo.jobs.training import Run
Run(load_recipe(sys.argv[1]), resume="--resume" in sys.argv).train()
print("done", file=phases)
"""
"""Trains by the recipe named first, and appends to the file named second what it is doing."""


Content = dict[Any, Any] | list[str]


class Training:
    """A run directory and the process that writes it."""

    def __init__(self, directory: Path, steps: int, threads: int) -> None:
        self.run, self.phases = directory / "run", directory / "phases"
        self.log = directory / "log"
        self.recipe = directory / "recipe.yaml"
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        self.recipe.write_text(
            json.dumps(
                {
                    "name": "crash",
                    "model": str(ROOT / "recipes/quickstart-base"),
                    "data": "arithmetic",
                    "num_steps": steps,
                    "prompts_per_step": 16,
                    "group_size": 8,
                    "updates_per_step": 4,
                    "max_prompt_tokens": 32,
                    "max_completion_tokens": 144,
                    "algorithm": {"name": "dapo", "soft_overlong": {"cache_tokens": 96}},
                    "optimizer": {"lr": 1e-4, "schedule": {"kind": "cosine"}},
                    "sampling": {"max_staleness": 1, "ledger": {"enabled": True}},
                    "eval": {"every": 5, "completions": 2, "limit": 32},
                    "checkpoint": {"every": 1},
                    "generation": {"slots": 96},
                    "run": {"dir": str(self.run), "trackers": ["tensorboard"]},
                }
            )
        )

    def start(self) -> subprocess.Popen[bytes]:
        """A process that begins the run, or goes on with it."""
        resume = ["--resume"] if (self.run / "config.yaml").exists() else []
        command = [sys.executable, "-c", CHILD, str(self.recipe), str(self.phases), *resume]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def phase(self) -> str:
        """What the process of the moment does."""
        return self.phases.read_text().split()[-1] if self.phases.exists() else "load"

    def finish(self) -> None:
        """Run to the end."""
        code = self.start().wait()
        if code:
            raise SystemExit(f"the training failed with exit code {code}:\n{self.log.read_text()[-3000:]}")


def step_seconds(run: Path) -> float:
    """How long a step takes, in the median."""
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(step["time/step"] for step in steps if "time/step" in step)


def kill_at_random(training: Training, source: random.Random, longest: float) -> str:
    """Start, let it get to work, and kill it. Returns what it was doing, or `done`."""
    with training.phases.open("a") as phases:
        print("load", file=phases)
    process = training.start()
    patience = time.monotonic() + 120
    # Some die while they load; most when they are at work, the first steps after a resume included.
    if source.random() > 0.1:
        while training.phase() == "load" and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.01)
    if source.random() < 0.25:
        while training.phase() != "save" and process.poll() is None:
            time.sleep(0.0005)
        longest = SAVE_SECONDS
    end = time.monotonic() + source.uniform(0, longest)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"the training failed with exit code {code}:\n{training.log.read_text()[-3000:]}")
    return "done" if code == 0 else training.phase()


def metrics_without_times(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({k: v for k, v in line.items() if not k.startswith(TIMES)}) for line in lines]


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def state_without_times(run: Path, steps: int) -> dict[str, object]:
    """Every file of the last checkpoint; of the trainer's values all but the seconds at work and run.dir."""
    checkpoint = run / f"checkpoints/step_{steps:06d}"
    found: dict[str, object] = dict(digests(checkpoint))
    values = json.loads((checkpoint / "trainer/values.json").read_text())
    content = values.get("values", values)
    content.pop("seconds")
    content["recipe"]["run"].pop("dir")
    found["trainer/values.json"] = json.dumps(values, sort_keys=True)
    return found


def prompts_trained(run: Path) -> list[tuple[str, int]]:
    """Prompt and visit of every group that was decided, step after step."""
    found = []
    for path in sorted((run / "rollouts").glob("step_*.jsonl")):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        found += [(record["id"], record["visit"]) for record in records if record["index"] == 0]
    return found


def compare(calm: Path, killed: Path, steps: int) -> list[Row]:
    """The undisturbed run beside the other one."""
    figures = {
        "lines of metrics.jsonl that differ": (metrics_without_times(calm), metrics_without_times(killed)),
        "rollout files that differ": (digests(calm / "rollouts"), digests(killed / "rollouts")),
        "files of the last checkpoint that differ": (
            state_without_times(calm, steps),
            state_without_times(killed, steps),
        ),
    }
    rows = []
    for name, (expected, found) in figures.items():
        differing = _differences(expected, found)
        rows.append(Row(name, len(differing), "", target="0", ok=not differing))
        for difference in differing[:5]:
            print(f"{name}: {difference}")
    due, done = Counter(prompts_trained(calm)), Counter(prompts_trained(killed))
    for name, wrong in (("skipped", due - done), ("repeated", done - due)):
        rows.append(Row(f"prompts {name}", wrong.total(), "visits", target="0", ok=not wrong))
    return rows


def _differences(first: Content, second: Content) -> list[str]:
    """What is not in both, with its value."""
    if isinstance(first, list) or isinstance(second, list):
        first, second = dict(enumerate(map(str, first))), dict(enumerate(map(str, second)))
    keys = sorted({*first, *second}, key=str)
    return [
        f"{key}: {first.get(key)} | {second.get(key)}" for key in keys if first.get(key) != second.get(key)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--quick", action="store_true", help="4 kills, 12 steps; writes no results")
    given = parser.parse_args()
    if given.quick:
        given.kills, given.steps = 4, 12
    source = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("calm", "killed")]
        for folder in folders:
            folder.mkdir()
        calm, killed = (Training(folder, given.steps, given.threads) for folder in folders)
        calm.finish()
        seconds = step_seconds(calm.run)
        died: Counter[str] = Counter()
        while died.total() < given.kills:
            phase = kill_at_random(killed, source, longest=2 * seconds)
            if phase == "done":
                break
            died[phase] += 1
        killed.finish()
        rows = compare(calm.run, killed.run, given.steps)
    rows += [Row(f"kills while it was at: {phase}", count, "kills") for phase, count in sorted(died.items())]
    rows.append(
        Row("kills", died.total(), "kills", target=f">= {given.kills}", ok=died.total() >= given.kills)
    )
    report("crash", rows, vars(given), quick=given.quick)
    if not all(row.ok for row in rows if row.ok is not None):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

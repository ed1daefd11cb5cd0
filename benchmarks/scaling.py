"""How cost grows: sampling with sequences in flight, length and model size, a whole step with the group.

    python benchmarks/scaling.py [--repeats 3] [--threads 2] [--quick]

Random models (`_model.py`) in float32, prompts of 32 tokens. transformers.generate is measured beside ours
where it is cheap. Every point is the median of short repeats. For each series the slope of the seconds in a
log-log plot is fitted: 1 is linear. Segments between two points whose own slope exceeds 1.1 are called
super-linear and listed. Draws benchmarks/results/scaling.png.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _engines import ENGINES, Job
from _harness import RESULTS, Row, report
from _model import Size, make_codec, make_model, make_prompts
from _steps import ours as whole_step

PROMPT_TOKENS = 32
SUPER_LINEAR = 1.1


@dataclass
class Series:
    """Seconds, and tokens a second, over what grows."""

    name: str
    grows: str
    x: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)

    @property
    def slope(self) -> float:
        return float(np.polyfit(np.log(self.x), np.log(self.seconds), 1)[0])

    def super_linear(self) -> list[tuple[float, float, float]]:
        """Segments that grow faster than in proportion: from, to, slope."""
        points = zip(self.x, self.seconds, strict=True)
        slopes = [(a, b, float(np.log(t / s) / np.log(b / a))) for (a, s), (b, t) in pairwise(points)]
        return [segment for segment in slopes if segment[2] > SUPER_LINEAR]

    def add(self, x: float, measure: Callable[[], dict[str, float]], repeats: int) -> None:
        found = [measure() for _ in range(repeats)]
        seconds = statistics.median(one["seconds"] for one in found)
        self.x.append(x)
        self.seconds.append(seconds)
        self.speed.append(statistics.median(one["tokens"] for one in found) / seconds)
        print(
            f"{self.name}, {self.grows} {x:,.0f}: {seconds:.3f} s, {self.speed[-1]:,.0f} tokens/s", flush=True
        )


def sampling_job(model: Path, sequences: int, tokens: int) -> Job:
    requests = [(prompt, tokens) for prompt in make_prompts(sequences, PROMPT_TOKENS)]
    return {"model": str(model), "requests": requests, "slots": sequences, "precision": "float32"}


def step_job(model: Path, prompts: int, group_size: int, tokens: int) -> Job:
    codec = make_codec(can_end=False)
    return {
        "model": str(model),
        "prompts": [codec.decode(ids) for ids in make_prompts(prompts, PROMPT_TOKENS)],
        "prompts_per_step": prompts,
        "group_size": group_size,
        "limit": tokens,
        "can_end": False,
        "precision": "float32",
        "tokens_per_batch": 4096,
    }


@dataclass(frozen=True)
class Plan:
    """The points of each series."""

    in_flight: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    lengths: Sequence[int] = (64, 128, 256, 512, 1024)
    hidden: Sequence[int] = (128, 256, 384, 512, 768)
    layers: Sequence[int] = (2, 4, 8)
    group_sizes: Sequence[int] = (4, 8, 16, 32)
    tokens: int = 64
    """Written by each sequence where the length is not what grows."""
    sequences: int = 32
    """In flight where their number is not what grows."""


QUICK = Plan((1, 8), (16, 64), (128, 256), (2, 4), (4, 8), tokens=8, sequences=4)


def sampling_series(plan: Plan, scratch: Path, repeats: int) -> list[Series]:
    model = make_model(scratch / "model")
    found = []
    for engine, name in (("ours", "ours"), ("generate", "transformers.generate")):
        flight, length = Series(name, "sequences in flight"), Series(name, "tokens per completion")
        for sequences in plan.in_flight:
            flight.add(sequences, ENGINES[engine](sampling_job(model, sequences, plan.tokens)), repeats)
        for tokens in plan.lengths:
            length.add(tokens, ENGINES[engine](sampling_job(model, plan.sequences, tokens)), repeats)
        found += [flight, length]
    return found


def model_series(plan: Plan, scratch: Path, repeats: int) -> list[Series]:
    wider, deeper = Series("ours", "parameters, by width"), Series("ours", "parameters, by depth")
    sizes = [(wider, Size(hidden=hidden)) for hidden in plan.hidden]
    sizes += [(deeper, Size(layers=layers)) for layers in plan.layers]
    for series, size in sizes:
        model = make_model(scratch / f"{size.hidden}-{size.layers}", size)
        job = sampling_job(model, plan.sequences, plan.tokens)
        series.add(size.parameters, ENGINES["ours"](job), repeats)
    return [wider, deeper]


def step_series(plan: Plan, scratch: Path, repeats: int) -> list[Series]:
    series = Series("ours, whole step", "completions per prompt")
    for size in plan.group_sizes:
        series.add(size, whole_step(step_job(scratch / "model", 4, size, plan.tokens)), repeats)
    return [series]


def rows_of(found: Sequence[Series]) -> list[Row]:
    rows = [Row(f"{one.name}: seconds over {one.grows}", one.slope, "log-log slope") for one in found]
    for one in found:
        for start, end, slope in one.super_linear():
            figure = f"{one.name}: {one.grows} {start:,.0f} to {end:,.0f}"
            rows.append(Row(figure, slope, "log-log slope, super-linear"))
    return rows


def draw(found: Sequence[Series], path: Path) -> None:
    """A panel for each thing that grows, and a dashed line of slope 1 through our first point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(one.grows for one in found))
    figure, panels = pyplot.subplots(1, len(names), figsize=(3.6 * len(names), 3.4), layout="constrained")
    for panel, grows in zip(panels, names, strict=True):
        shown = [one for one in found if one.grows == grows]
        for one in shown:
            panel.loglog(one.x, one.seconds, marker="o", label=f"{one.name} ({one.slope:.2f})")
        x, first = np.array(shown[0].x), shown[0].seconds[0]
        panel.loglog(x, first * x / x[0], "k--", linewidth=0.8, label="linear")
        panel.set_xticks(x, [_short(value) for value in x], fontsize=7)
        panel.minorticks_off()
        panel.set_xlabel(grows)
        panel.legend(fontsize=7)
    panels[0].set_ylabel("seconds")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"drawn to {path}")


def _short(value: float) -> str:
    return f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="two points each, once; writes no results")
    given = parser.parse_args()
    plan = QUICK if given.quick else Plan()
    repeats = 1 if given.quick else given.repeats
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        found = sampling_series(plan, scratch, repeats)
        found += model_series(plan, scratch, repeats)
        found += step_series(plan, scratch, repeats)
        draw(found, (scratch if given.quick else RESULTS) / "scaling.png")
    points = {f"{one.name}: {one.grows}": [one.x, one.seconds, one.speed] for one in found}
    report("scaling", rows_of(found), {**vars(given), "points": points}, quick=given.quick)


if __name__ == "__main__":
    main()

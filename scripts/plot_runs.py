"""Draw the learning curves of runs: accuracy, length, entropy and the share of groups that carry a signal.

    python scripts/plot_runs.py OUTPUT.png LABEL=RUN[,RUN...] [LABEL=RUN[,RUN...]]...

Several runs of a label are seeds: their mean is drawn, with the range from the lowest to the highest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PANELS = {
    "score/mean": "accuracy of generated completions",
    "completion/mean_tokens": "tokens per completion",
    "policy/entropy": "entropy of the policy (nats)",
    "sampling/signal_share": "share of groups with a signal",
}


def curve(run: Path, metric: str) -> dict[int, float]:
    """The metric of every step that has it."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[metric] for line in lines if line.get(metric) is not None}


def main() -> None:
    output, *groups = sys.argv[1:]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 3.2), layout="constrained")
    for group in groups:
        label, _, paths = group.partition("=")
        for axis, metric in zip(axes, PANELS, strict=True):
            curves = [curve(Path(path), metric) for path in paths.split(",")]
            steps = sorted(set.intersection(*(set(values) for values in curves)))
            values = np.array([[values[step] for step in steps] for values in curves])
            (line,) = axis.plot(steps, values.mean(axis=0), label=label)
            axis.fill_between(
                steps, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.2
            )
    for axis, title in zip(axes, PANELS.values(), strict=True):
        axis.set(title=title, xlabel="step", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main()

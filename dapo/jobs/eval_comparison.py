"""Two evaluations of the same prompts, compared prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from dapo.core.comparison import Comparison, compare
from dapo.core.intervals import UNBOUNDED, UNIT
from dapo.errors import UserError
from dapo.evaluation import Evaluation, Groups
from dapo.jobs.evaluations import Measured

_SETTINGS = ("completions", "temperature", "top_p", "top_k", "stop", "max_completion_tokens", "reward")
"""What two models should be asked alike, or their difference is not theirs alone."""


@dataclass(frozen=True)
class Compared:
    """A second model against a first one, on one set."""

    name: str
    """Of the set."""
    first: Measured
    second: Measured
    figures: dict[str, Comparison]
    """`avg@k`, and with k > 1 completions on both sides `pass@k` and `maj@k`; `completion/mean_tokens`."""
    notes: list[str]


def match(first: Sequence[Measured], second: Sequence[Measured]) -> list[Compared]:
    """Compare set by set; where each side has one set, these two, whatever they are called.

    Raises UserError where they have no set or no prompt in common.
    """
    if len(first) == len(second) == 1:
        return [compare_measured(first[0], second[0])]
    others = {one.name: one for one in second}
    pairs = [compare_measured(one, others[one.name]) for one in first if one.name in others]
    if not pairs:
        names = [", ".join(one.name for one in side) for side in (first, second)]
        raise UserError(f"nothing to compare: the sets are {names[0]} on one side, {names[1]} on the other")
    return pairs


def compare_measured(first: Measured, second: Measured) -> Compared:
    """Compare two evaluations on the prompts that both have.

    Raises UserError where they have none in common, or one prompt with two gold answers.
    """
    one, two, notes = _common(first, second)
    figures = {}
    for name, steps in _steps(one.k, two.k).items():
        a, b = (side.per_prompt[name.replace("@k", f"@{side.k}")] for side in (one, two))
        bounds = UNBOUNDED if name == "completion/mean_tokens" else UNIT
        shown = name.replace("@k", f"@{one.k}") if one.k == two.k else name
        figures[shown] = compare(a, b, bounds=bounds, steps=steps)
    return Compared(first.name, first, second, figures, [*notes, *_differing(first, second)])


def _steps(first: int, second: int) -> dict[str, int]:
    """The figures to compare, and the fraction that their values are multiples of."""
    both = lcm(first, second)
    alike = first == second and first > 1
    # A tie is shared among up to k answers.
    more = {"pass@k": 1, "maj@k": lcm(*range(1, first + 1))} if alike else {}
    return {"avg@k": both, **more, "completion/mean_tokens": both}


def _common(first: Measured, second: Measured) -> tuple[Evaluation, Evaluation, list[str]]:
    groups = [{group[0].id: group for group in side.evaluation.groups} for side in (first, second)]
    ids = [name for name in groups[0] if name in groups[1]]
    if not ids:
        raise UserError(
            f"{first.path} and {second.path} have no prompt in common: measure both models on the same set"
        )
    for name in ids:
        a, b = groups[0][name][0], groups[1][name][0]
        if (a.answer, list(a.prompt)) != (b.answer, list(b.prompt)):
            raise UserError(
                f"prompt {name!r} is another one in {first.path} than in {second.path}: give ids that tell "
                "prompts apart, and measure both models on the same data"
            )
    alone = [len(side) - len(ids) for side in groups]
    notes = []
    if any(alone):
        notes.append(
            f"compared on the {len(ids):,} prompts that both have; {alone[0]:,} are in the first alone, "
            f"{alone[1]:,} in the second"
        )
    picked: list[Groups] = [[side[name] for name in ids] for side in groups]
    return Evaluation(picked[0]), Evaluation(picked[1]), notes


def _differing(first: Measured, second: Measured) -> list[str]:
    """How the models were asked differently, and whether by the same random numbers."""
    one, two = first.asked, second.asked
    if not one or not two:
        return []
    notes = [
        f"{name} differs: {one[name]} for the first, {two[name]} for the second"
        for name in _SETTINGS
        if one.get(name) != two.get(name)
    ]
    if one["temperature"] or two["temperature"]:
        same = one["seed"] == two["seed"]
        notes.append(
            f"both drew their tokens by the same random numbers (seed {one['seed']})"
            if same
            else f"drawn by other random numbers (seeds {one['seed']} and {two['seed']})"
        )
    return notes


def average_difference(compared: Sequence[Compared]) -> float:
    """Of avg@k, over several sets, each counting the same."""
    return float(np.mean([next(iter(one.figures.values())).difference for one in compared]))

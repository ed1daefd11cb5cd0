"""What shaping can do to a group before anything is sampled: from bounds alone, no completion needed.

The completions of a group whose verdicts are equal differ in nothing but shaping. An advantage that
divides by the standard deviation blows the smallest such difference up to the size of a right answer
among wrong ones; whether the group is trained on is up to dynamic sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dapo.algorithms import Algorithm
from dapo.core.advantages import Advantage
from dapo.core.shaping import signed
from dapo.core.signal import TOLERANCE
from dapo.grading.composition import ShapingSettings


@dataclass(frozen=True)
class EqualVerdicts:
    """Groups whose completions are all right, or all wrong."""

    right: bool
    low: float
    """The least reward such a completion can get, verdict and shaping together."""
    high: float
    """The highest."""
    advantage: float
    """The largest advantage, up or down, that one of them can get in such a group."""
    of_verdict: float
    """The largest in a group of the same size with one right answer, or one wrong, and no shaping."""
    kept: bool
    """Whether dynamic sampling trains on such a group where its shaping differs."""

    @property
    def name(self) -> str:
        return "right" if self.right else "wrong"


@dataclass(frozen=True)
class ShapingReport:
    """What `lint_shaping` found."""

    right: EqualVerdicts
    wrong: EqualVerdicts
    reason: str
    """Why groups of equal verdicts are kept, or are not."""

    @property
    def phantoms(self) -> list[EqualVerdicts]:
        """The groups that are trained on for their shaping alone."""
        return [side for side in (self.right, self.wrong) if side.kept and side.advantage > 0]

    @property
    def outweighs(self) -> bool:
        """Whether a wrong answer can get as much reward as a right one."""
        return self.wrong.high >= self.right.low - TOLERANCE

    def notes(self) -> list[str]:
        """A line for each danger; none where there is nothing to say."""
        lines = [self._phantom_note()] if self.phantoms else []
        if self.outweighs:
            lines.append(
                "shaping can outweigh the verdict: a wrong answer can get a reward of "
                f"{self.wrong.high:.4g}, a right one {self.right.low:.4g}; lower the weights of shaping or "
                "soft_overlong.factor until right stays ahead"
            )
        return lines

    def _phantom_note(self) -> str:
        groups = " or ".join(
            f"all {side.name} (rewards up to {side.high - side.low:.4g} apart)" for side in self.phantoms
        )
        most = max(self.phantoms, key=lambda side: side.advantage)
        return (
            f"shaping alone makes advantages: groups that are {groups} are trained on, with advantages of up "
            f"to {most.advantage:.4g}, where one differing verdict makes {most.of_verdict:.4g}; {self.reason}"
        )

    def lines(self) -> list[str]:
        """All that was found, in words."""
        return [*(self._bounds(side) for side in (self.right, self.wrong)), self.reason, *self.notes()]

    def _bounds(self, side: EqualVerdicts) -> str:
        fate = "is trained on" if side.kept else "is left out"
        return (
            f"{side.name} answers get rewards from {side.low:.4g} to {side.high:.4g}; a group that is all "
            f"{side.name} could get advantages of up to {side.advantage:.4g} from it ({side.of_verdict:.4g} "
            f"where one verdict differs), and {fate}"
        )


def lint_shaping(
    shaping: Sequence[ShapingSettings],
    algorithm: Algorithm,
    *,
    group_size: int,
    max_completion_tokens: int,
    policy: str,
    filter_on: str = "score",
    tolerance: float = TOLERANCE,
    verdicts: tuple[float, float] | None = None,
) -> ShapingReport:
    """Bounds on what the terms of `shaping` and the algorithm's soft overlong punishment can do.

    Args:
        max_completion_tokens: where completions end: the longest that soft overlong can punish.
        policy: of dynamic sampling; `off` trains on every group.
        filter_on, tolerance: what it reads, and how far that has to differ.
        verdicts: the rewards of a wrong and a right answer before shaping. None: what the algorithm makes
            of scores of 0 and 1.
    """
    if verdicts is None:
        verdicts = (signed(0.0), signed(1.0)) if algorithm.signed_rewards else (0.0, 1.0)
    soft = algorithm.soft_overlong
    overlong = 0.0 if soft is None else soft(max_completion_tokens)

    def side(right: bool) -> EqualVerdicts:
        bounds = [term.bounds for term in shaping if term.applies_where(right)]
        low = verdicts[right] + sum(least for least, _ in bounds) + overlong
        high = verdicts[right] + sum(most for _, most in bounds)
        advantage, of_verdict = _advantages(algorithm.advantage, (low, high), verdicts, group_size)
        differs = {"score": False, "reward": high - low > tolerance} | {
            term.name: term.applies_where(right) and term.weight > tolerance for term in shaping
        }
        # A part of another name is one the verdict's own reward gives: it may differ.
        kept = policy == "off" or differs.get(filter_on, True)
        return EqualVerdicts(right, low, high, advantage, of_verdict, kept)

    return ShapingReport(side(True), side(False), _reason(policy, filter_on))


def _advantages(
    advantage: Advantage, bounds: tuple[float, float], verdicts: tuple[float, float], group_size: int
) -> tuple[float, float]:
    """The largest advantage where rewards lie within `bounds`, and where one verdict differs.

    It is that of a completion which alone has one of the bounds, among others that have the other one.
    """
    contrast = _one_among(verdicts[1], verdicts[0], group_size)
    found = [
        [float(group.abs().max()) for group in advantage([_one_among(one, others, group_size), contrast])]
        for one, others in (bounds, bounds[::-1])
    ]
    return max(shaped for shaped, _ in found), max(of_verdict for _, of_verdict in found)


def _one_among(one: float, others: float, group_size: int) -> Tensor:
    return torch.tensor([one, *[others] * (group_size - 1)], dtype=torch.float64)


def _reason(policy: str, filter_on: str) -> str:
    if policy == "off":
        return "sampling.policy: off trains on every group; refill leaves out those of equal verdicts"
    if filter_on == "score":
        return "sampling.filter_on: score leaves out groups of equal verdicts"
    return (
        f"sampling.filter_on: {filter_on} keeps groups in which that differs, and training on groups of "
        "equal verdicts has collapsed runs; score leaves them out"
    )

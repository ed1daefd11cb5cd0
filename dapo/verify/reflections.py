"""How much a completion reflects after it has found the answer, and what that is worth: Yuan3.0's RIRM.

The Reflection Inhibition Reward Mechanism (arXiv 2601.01718, section 3.1, equations 1 and 2, figure 4) marks
where the correct answer first stands in the thoughts, and every later place that comes back to it. Three
scores say whether it was found, how often it was verified, and whether the final answer is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Variant = Literal["paper", "code"]
Bounds = tuple[int, int]
Triple = tuple[float, float, float]

EASY: Bounds = (2, 10)
"""The numbers of verifications that are free, and that are too many, for prompts that are often solved."""
_EASY_FROM = 0.5
_ENOUGH = 2


@dataclass(frozen=True)
class Trace:
    """What an annotator found in the thoughts of a completion."""

    marks: int
    """Places that state the correct answer."""
    ends_there: bool
    """The thoughts end with the last of them."""
    closed: bool
    """They were brought to an end, by `</think>`."""

    def verifications(self, right: bool, variant: Variant) -> int:
        """How often the answer was come back to.

        The released code counts what follows the last mark of a right completion as one more.
        """
        later = max(self.marks - 1, 0)
        goes_on = variant == "code" and right and self.marks > 0 and not self.ends_there
        return later + 1 if goes_on else later


def bounds(traces: Sequence[tuple[Trace, bool]], pass_rate: float, variant: Variant) -> Bounds:
    """The numbers of verifications between which the second score falls from 1 to 0.

    `traces`: those of the completions of a prompt, each with whether it is right. Where less than half of
    them are, the bounds are the least and the most verifications of all of them (paper), or of the right
    ones (code).
    """
    counted = [trace.verifications(right, variant) for trace, right in traces if variant == "paper" or right]
    if pass_rate >= _EASY_FROM or not counted:
        return EASY
    return min(counted), max(counted)


def triple(trace: Trace, right: bool, limits: Bounds, variant: Variant) -> Triple:
    """The scores of having found the answer, of verifying it in measure, and of the final answer."""
    accuracy = 1.0 if right else -1.0
    if trace.marks == 0:
        return -1.0, -1.0, -1.0
    count = trace.verifications(right, variant)
    if trace.marks == 1 and trace.ends_there:
        return (1.0, accuracy, accuracy) if trace.closed else (1.0, -1.0, -1.0)
    if variant == "code" and count == 0:
        return 1.0, accuracy, accuracy
    return 1.0, _measure(count, limits, variant), accuracy


def _measure(count: int, limits: Bounds, variant: Variant) -> float:
    """Equation 2. The released code adds that nothing is too much where nobody verified more than twice."""
    least, most = limits
    if count <= least or (variant == "code" and (least == most or most <= _ENOUGH)):
        return 1.0
    return 1 - (count - least) / (most - least) if count <= most else 0.0

"""Which groups are trained: the settings of dynamic sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dapo.core.signal import TOLERANCE
from dapo.sampling.ledger import LedgerSettings

Policy = Literal["refill", "complete", "off"]
Shortage = Literal["train_short", "keep_sampling", "complete", "stop"]
CopyOrder = Literal["easiest_first", "hardest_first", "center_first"]


@dataclass(frozen=True)
class CopySettings:
    """How kept groups are repeated to fill a step (ADS of Yuan3.0, arXiv 2601.01718, Algorithm 1)."""

    order: CopyOrder = "easiest_first"
    """Which groups are repeated first, by pass rate; `center_first` begins at the median."""
    max_copies: int = 3
    """How often a group may be trained in one step, the original included."""

    def __post_init__(self) -> None:
        if self.max_copies < 1:
            raise ValueError("max_copies must be at least 1: the original counts")


@dataclass(frozen=True)
class SamplingSettings:
    """Which groups are trained, and how far the sampler may run ahead of the learner."""

    policy: Policy | None = None
    """`refill` replaces groups without a signal by new ones (DAPO), `complete` generates once and repeats
    what has a signal (ADS), `off` trains on every group. Left out, the algorithm decides."""
    filter_on: str = "score"
    """What must differ within a group: the `score`, the shaped `reward`, or a named part of the score."""
    tolerance: float = TOLERANCE
    """Values differ when their largest and smallest are further apart than this."""
    max_staleness: int = 0
    """Steps a group may wait between its first token and its training. With 0 nothing is sampled ahead."""
    verdict_delay: int = 8
    """Sampler ticks between a group's end and its verdict, so that grading overlaps sampling. It is a
    fixed number, for the order of events must not depend on the speed of a grader."""
    max_rounds: int = 10
    """A step admits at most this many times `prompts_per_step` groups. 0: no limit."""
    on_shortage: Shortage = "train_short"
    """What a step does that reaches the limit: train on what it has, go on sampling, repeat groups as
    `complete` does, or end the run."""
    min_groups: int = 1
    """`train_short` does not train on fewer groups; they wait for the next step."""
    longest_first: bool = False
    """Admit the prompts of a step in the order of their expected length, longest first: that of earlier
    completions of a prompt, and before there are any what its column `expect_len` says."""
    copies: CopySettings = field(default_factory=CopySettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)

    def __post_init__(self) -> None:
        if self.max_rounds < 0:
            raise ValueError("max_rounds must be at least 0 (0: no limit)")
        if not 0 <= self.tolerance < 1:
            raise ValueError("tolerance must lie in [0, 1)")
        if self.max_staleness < 0 or self.verdict_delay < 0:
            raise ValueError("max_staleness and verdict_delay must be at least 0")
        if self.min_groups < 1:
            raise ValueError("min_groups must be at least 1")
        if self.min_groups > 1 and self.max_staleness == 0:
            raise ValueError(
                "min_groups above 1 lets groups wait for the next step, which max_staleness: 0 forbids; "
                "set max_staleness to 1 or min_groups to 1"
            )

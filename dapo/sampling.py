"""Dynamic sampling: which groups a step trains on, and an account of every group it generated.

DAPO Eq. 11 wants groups whose completions are neither all right nor all wrong. The sampler is fed one
prompt for every group still missing, so a rejected group is replaced at once and nothing is generated
that is neither trained nor rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dapo.core.signal import verdict
from dapo.types import GradedGroup, Group, Prompt

Verdict = Literal["signal", "all_right", "all_wrong"]
Policy = Literal["refill", "off"]

_FATES = ("generated", "trained", "all_right", "all_wrong")


@dataclass(frozen=True)
class SamplingSettings:
    """Which groups are trained. The filter reads the score, never the shaped reward."""

    policy: Policy | None = None
    """`refill` replaces groups without a signal by new ones, `off` trains on every group.
    Left out, the algorithm decides."""
    max_rounds: int = 10
    """`refill` gives up on a step after this many times `prompts_per_step` groups, and trains on what
    it has. 0 means never: then data without any signal keeps the run sampling for ever."""
    tolerance: float = 1e-6
    """Scores of a group carry a signal when their largest and smallest differ by more than this."""

    def __post_init__(self) -> None:
        if self.max_rounds < 0:
            raise ValueError("max_rounds must be at least 0 (0: no limit)")
        if not 0 <= self.tolerance < 1:
            raise ValueError("tolerance must lie in [0, 1)")


@dataclass
class Account:
    """Groups and tokens of a step, or of a whole run, by what became of them."""

    groups: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FATES, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FATES, 0))

    def add(self, fate: str, group: GradedGroup) -> None:
        self.groups[fate] += 1
        self.tokens[fate] += group.tokens

    def merge(self, other: Account) -> None:
        for fate in _FATES:
            self.groups[fate] += other.groups[fate]
            self.tokens[fate] += other.tokens[fate]

    def check(self) -> None:
        """generated = trained + all right + all wrong, in groups and in tokens."""
        for name, counts in (("groups", self.groups), ("tokens", self.tokens)):
            explained = sum(counts[fate] for fate in _FATES if fate != "generated")
            if counts["generated"] != explained:
                raise AssertionError(f"the sampling account does not balance in {name}: {counts}")

    def metrics(self) -> dict[str, float]:
        kept = self.groups["trained"] / max(1, self.groups["generated"])
        by_fate = {f"sampling/{fate}": float(self.groups[fate]) for fate in _FATES}
        by_token = {f"sampling/{fate}_tokens": float(self.tokens[fate]) for fate in _FATES}
        return {**by_fate, **by_token, "sampling/kept_share": kept}


@dataclass
class Sampled:
    """What sampling gives a step."""

    trained: list[GradedGroup]
    """In the order their prompts were admitted, so that early finishers gain nothing."""
    rejected: list[tuple[GradedGroup, Verdict]]
    account: Account

    @property
    def generated(self) -> list[GradedGroup]:
        return self.trained + [group for group, _ in self.rejected]


def collect(
    generate: Callable[[Iterator[Prompt | None]], Iterator[Group]],
    grade: Callable[[Group], GradedGroup],
    prompts: Iterator[Prompt],
    wanted: int,
    settings: SamplingSettings,
    policy: Policy,
    progress: Callable[[int, int, int], None] = lambda trained, wanted, generated: None,
) -> Sampled:
    """Sample until `wanted` groups are accepted, or the limit of rounds is reached."""
    result = Sampled([], [], Account())
    limit = settings.max_rounds * wanted or float("inf")
    admitted = 0

    def admit() -> Iterator[Prompt | None]:
        """One prompt for every group that is still missing."""
        nonlocal admitted
        while True:
            in_flight = admitted - result.account.groups["generated"]
            if len(result.trained) + in_flight < wanted and admitted < limit:
                admitted += 1
                yield next(prompts)
            else:
                yield None

    for group in generate(admit()):
        graded = grade(group)
        found = verdict(graded.scores, settings.tolerance)
        result.account.add("generated", graded)
        if policy == "off" or found == "signal":
            result.account.add("trained", graded)
            result.trained.append(graded)
        else:
            result.account.add(found, graded)
            result.rejected.append((graded, found))
        progress(len(result.trained), wanted, result.account.groups["generated"])
    result.account.check()
    result.trained.sort(key=lambda graded: graded.prompt.number)
    return result

"""Advantages of the completions of each group, in float64.

An advantage is a frozen dataclass, called once per step on whole groups:

    advantage(rewards: [G_i] per group, baseline: [G_i] bool per group or None) -> [G_i] per group

`baseline` says which completions enter mean and standard deviation. The others get 0, and so do all
completions of a group whose baseline holds fewer than two of them or has equal rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from dapo.core.signal import has_signal


class Advantage(Protocol):
    """What every advantage looks like."""

    name: ClassVar[str]

    def __call__(
        self, rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None = None
    ) -> list[Tensor]: ...


@dataclass(frozen=True)
class GroupNormalized:
    """(r - mean) / (std + epsilon) over the group: GRPO (arXiv 2402.03300, Sec. 4.1.2), DAPO (Eq. 9).

    The papers leave the std open: `ddof=1`, `epsilon=1e-6` is verl; 1, 1e-4 TRL and ms-swift.
    """

    name: ClassVar[str] = "group_normalized"
    ddof: int = 1
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check(self.ddof, self.epsilon)

    def __call__(self, rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None = None) -> list[Tensor]:
        return _over_groups(
            rewards, baseline, lambda r: (r - r.mean()) / (r.std(correction=self.ddof) + self.epsilon)
        )


@dataclass(frozen=True)
class GroupCentered:
    """r - mean over the group: Dr.GRPO (arXiv 2503.20783, Sec. 3.2)."""

    name: ClassVar[str] = "group_centered"

    def __call__(self, rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None = None) -> list[Tensor]:
        return _over_groups(rewards, baseline, lambda r: r - r.mean())


@dataclass(frozen=True)
class LeaveOneOut:
    """r - mean of the others in the group: RLOO (arXiv 2402.14740)."""

    name: ClassVar[str] = "leave_one_out"

    def __call__(self, rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None = None) -> list[Tensor]:
        return _over_groups(rewards, baseline, lambda r: (r - r.mean()) * len(r) / (len(r) - 1))


@dataclass(frozen=True)
class BatchScaled:
    """(r - group mean) / (std over all groups + epsilon): TRL's and ms-swift's `scale_rewards=batch`."""

    name: ClassVar[str] = "batch_scaled"
    ddof: int = 1
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        _check(self.ddof, self.epsilon)

    def __call__(self, rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None = None) -> list[Tensor]:
        centered = _over_groups(rewards, baseline, lambda r: r - r.mean())
        counted = [r.double()[mask] for r, mask in zip(rewards, _masks(rewards, baseline), strict=True)]
        pooled = torch.cat(counted) if counted else torch.empty(0, dtype=torch.float64)
        if not has_signal(pooled.tolist()):
            return centered
        scale = pooled.std(correction=self.ddof) + self.epsilon
        return [advantages / scale for advantages in centered]


def _over_groups(
    rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None, formula: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """`formula` on the baseline of every group whose rewards differ there; 0 everywhere else."""
    advantages = []
    for group, mask in zip(rewards, _masks(rewards, baseline), strict=True):
        result = torch.zeros_like(group, dtype=torch.float64)
        counted = group.double()[mask]
        if has_signal(counted.tolist()):
            result[mask] = formula(counted)
        advantages.append(result)
    return advantages


def _masks(rewards: Sequence[Tensor], baseline: Sequence[Tensor] | None) -> Sequence[Tensor]:
    if baseline is None:
        return [torch.ones_like(group, dtype=torch.bool) for group in rewards]
    sizes, given = [len(group) for group in rewards], [len(mask) for mask in baseline]
    if sizes != given:
        raise ValueError(
            f"baseline must have one entry per reward: the groups hold {sizes}, it holds {given}"
        )
    return baseline


def _check(ddof: int, epsilon: float) -> None:
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 (population) or 1 (sample), but it is {ddof}")
    if epsilon < 0:
        raise ValueError(f"epsilon must be at least 0, but it is {epsilon}")

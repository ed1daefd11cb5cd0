"""Which tokens take part in the loss: those of high entropy, and those of completions that ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class EntropyMask:
    """Train on the tokens of highest entropy only (the 80/20 rule, arXiv 2506.01939, Eq. 6).

    A token is kept if its entropy reaches the (1 - keep) quantile, linearly interpolated; ties are kept.
    """

    keep: float = 0.2
    """Share of the tokens that is kept."""
    scope: Literal["step", "response"] = "step"
    """One threshold for all completions of a step, or one for each (Yuan3.0 Flash, arXiv 2601.01718)."""
    denominator: Literal["all", "kept"] = "all"
    """Whether all loss tokens or only the kept ones count in the denominators of the reduction."""

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must lie in (0, 1], but it is {self.keep}; the papers keep 0.2")
        if self.scope not in ("step", "response"):
            raise ValueError(f"scope must be step or response, not {self.scope!r}")
        if self.denominator not in ("all", "kept"):
            raise ValueError(f"denominator must be all or kept, not {self.denominator!r}")

    def __call__(self, entropies: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
        """Bool [T_i] for each completion of a step: a subset of its mask [T_i], from entropies [T_i]."""
        candidates = [entropy[mask] for entropy, mask in zip(entropies, masks, strict=True)]
        if self.scope == "step" and candidates:
            thresholds = [self._threshold(torch.cat(candidates))] * len(candidates)
        else:
            thresholds = [self._threshold(values) for values in candidates]
        return [
            mask & (entropy >= threshold)
            for entropy, mask, threshold in zip(entropies, masks, thresholds, strict=True)
        ]

    def _threshold(self, values: Tensor) -> float:
        if values.numel() == 0:
            return 0.0
        # Order statistics by selection: torch.quantile refuses more than 2^24 values.
        position = (values.numel() - 1) * (1 - self.keep)
        below = int(position)
        above = min(below + 1, values.numel() - 1)
        low, high = (float(values.kthvalue(rank + 1).values) for rank in (below, above))
        return low + (high - low) * (position - below)


@dataclass(frozen=True)
class OverlongFilter:
    """Completions that ended only because they reached their limit leave the loss (DAPO, Sec. 3.4).

    They leave its denominators too. With `in_baseline` they stay in the mean and standard deviation of
    their group, as in verl, TRL and ms-swift.
    """

    in_baseline: bool = True

    def loss_mask(self, truncated: bool, trainable: Tensor) -> Tensor:
        """Bool [T]: the tokens of a completion that enter the loss, of those that are trainable."""
        return torch.zeros_like(trainable) if truncated else trainable

    def baseline(self, truncated: Tensor) -> Tensor:
        """Bool [G]: the completions of a group that enter its mean and standard deviation."""
        return torch.ones_like(truncated) if self.in_baseline else ~truncated

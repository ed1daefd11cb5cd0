"""Importance weights between the sampler that drew the tokens and the learner's old policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dapo.core.segments import Segments

LOG_WEIGHT_LIMIT = 20.0

Level = Literal["token", "sequence", "sequence_mean"]


@dataclass(frozen=True)
class ImportanceCorrection:
    """Truncated or masked importance sampling: weights exp(old - sampler), bounded and detached."""

    level: Level = "token"
    """A weight per token, or per sequence: exp of the sum, or of the mean (for GSPO) of the log-ratios."""
    mode: Literal["truncate", "mask"] = "truncate"
    """Bring weights outside [low, high] to the bound, or to 0."""
    high: float = 2.0
    low: float | None = None
    """None: no lower bound."""
    normalize: bool = False
    """Divide by the mean weight, over tokens or sequences, of everything in the call."""

    def __post_init__(self) -> None:
        if self.level not in ("token", "sequence", "sequence_mean"):
            raise ValueError(f"level must be token, sequence or sequence_mean, not {self.level!r}")
        if self.mode not in ("truncate", "mask"):
            raise ValueError(f"mode must be truncate or mask, not {self.mode!r}")
        if self.high <= 0:
            raise ValueError("high must be positive; leave off_policy out to switch the correction off")
        if self.low is not None and not 0 <= self.low <= self.high:
            raise ValueError(f"low must lie between 0 and high ({self.high}); None is no lower bound")

    @torch.no_grad()
    def __call__(self, old_logprobs: Tensor, sampler_logprobs: Tensor, segments: Segments) -> Tensor:
        """Weights [N] from log-probabilities [N] under the learner's old policy and under the sampler.

        With `normalize`, hand over a whole step, so that the weights do not depend on how it is split.
        """
        log_ratio = old_logprobs - sampler_logprobs
        if self.level == "token":
            return self._bounded(log_ratio, torch.ones_like(log_ratio, dtype=torch.bool))
        pooled = segments.sum(log_ratio) if self.level == "sequence" else segments.mean(log_ratio)
        return segments.expand(self._bounded(pooled, segments.lengths() > 0))

    def _bounded(self, log_weights: Tensor, present: Tensor) -> Tensor:
        weights = log_weights.clamp(-LOG_WEIGHT_LIMIT, LOG_WEIGHT_LIMIT).exp()
        low = 0.0 if self.low is None else self.low
        if self.mode == "truncate":
            weights = weights.clamp(low, self.high)
        else:
            weights = weights.masked_fill((weights < low) | (weights > self.high), 0)
        # Where every weight was masked there is no mean to divide by, and all weights stay 0.
        if self.normalize and bool(weights[present].any()):
            weights = weights / weights[present].mean()
        return weights


def mismatch(old_logprobs: Tensor, sampler_logprobs: Tensor) -> dict[str, float]:
    """How far the sampler and the learner disagree about the same tokens [N] of the same policy.

    kl      mean of sampler - old: KL(sampler || learner) by k1
    k3_kl   the same by k3, which is never negative
    ess     effective share of the tokens: 1 / mean((w / mean w)^2), w = exp(old - sampler)
    mean_abs_logprob_difference, max_abs_logprob_difference
    mean_abs_probability_difference, max_abs_probability_difference

    All are 0, and ess is 1, where the two agree or where there are no tokens.
    """
    old, sampler = (x.detach().to("cpu", torch.float64) for x in (old_logprobs, sampler_logprobs))
    if old.numel() == 0:
        old = sampler = torch.zeros(1, dtype=torch.float64)
    log_ratio = old - sampler
    bounded = log_ratio.clamp(-LOG_WEIGHT_LIMIT, LOG_WEIGHT_LIMIT)
    weights = bounded.exp()
    difference, probability = log_ratio.abs(), (old.exp() - sampler.exp()).abs()
    return {
        "kl": -float(log_ratio.mean()),
        "k3_kl": float((torch.expm1(bounded) - bounded).mean()),
        "ess": float(1 / (weights / weights.mean()).square().mean()),
        "mean_abs_logprob_difference": float(difference.mean()),
        "max_abs_logprob_difference": float(difference.max()),
        "mean_abs_probability_difference": float(probability.mean()),
        "max_abs_probability_difference": float(probability.max()),
    }

"""Policy-gradient losses per token.

A loss is a frozen dataclass: its fields are its settings, with the paper's values as defaults. All of
them are called alike, on flat tensors that hold the loss tokens of whole sequences:

    loss(logprobs [N], old_logprobs [N], advantages [N], segments)
        -> (loss per token [N], {name: sum over tokens})

`logprobs` carry the gradient. The metrics are sums over tokens, to be divided by the number of loss
tokens of the update: `clip_low` and `clip_high` count the tokens clipped at the lower and upper bound.

Log-ratios between policy and old policy are clamped at +-20, their mean over a sequence at +-10. Beyond
a clamp the gradient is exactly zero and every value stays finite, for either sign of the advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from dapo.core.segments import Segments

LOG_RATIO_LIMIT = 20.0
SEQUENCE_LOG_RATIO_LIMIT = 10.0


class Loss(Protocol):
    """What every loss looks like."""

    name: ClassVar[str]

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True)
class ClipLoss:
    """PPO's clipped surrogate with separate bounds: GRPO where they are equal, DAPO (Eq. 10) where not.

    max(-A r, -A clip(r, 1 - low, 1 + high)), where r is the ratio of policy to old policy.

    Where the advantage is negative, the maximum leaves a growing ratio unbounded. Two remedies, of which
    at most one may be on: `dual_clip` = c bounds the loss at -A c (arXiv 1912.09729; TRL's and
    ms-swift's `delta`); `optimized_dual_clip` takes the clipped ratio on both sides (Yuan3.0 Flash,
    arXiv 2601.01718, Eq. 5). Metric `clip_dual` counts the tokens they bound.
    """

    name: ClassVar[str] = "clip"
    low: float = 0.2
    high: float = 0.2
    dual_clip: float | None = None
    optimized_dual_clip: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise ValueError("dual_clip must be above 1 (verl's DAPO scripts use 10); None switches it off")
        if self.dual_clip is not None and self.optimized_dual_clip:
            raise ValueError(
                "dual_clip and optimized_dual_clip exclude each other: unset dual_clip, "
                "which the optimized form makes superfluous, or set optimized_dual_clip to false"
            )

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        ratio = _log_ratio(logprobs, old_logprobs).exp()
        unclipped, clipped = _surrogates(ratio, advantages, self.low, self.high)
        loss = torch.maximum(unclipped, clipped)
        metrics = _clip_counts(ratio, advantages, self.low, self.high)
        negative = advantages < 0
        if self.dual_clip is not None:
            bound = -advantages * self.dual_clip
            metrics["clip_dual"] = _count(negative & (loss > bound), ratio)
            loss = torch.where(negative, torch.minimum(loss, bound), loss)
        if self.optimized_dual_clip:
            metrics["clip_dual"] = _count(negative & (ratio > 1 + self.high), ratio)
            loss = torch.where(negative, clipped, loss)
        return loss, metrics


@dataclass(frozen=True)
class SequenceClipLoss:
    """GSPO (arXiv 2507.18071): one ratio per sequence, the geometric mean of its tokens' (Eq. 5 and 7).

    Every token of a sequence gets that sequence's loss, so that the reduction `sequence` is the paper's.
    `token_form` is GSPO-token (Eq. 13 and 14): the same values, with the gradient running through each
    token on its own, which differs where the advantages do within a sequence.
    """

    name: ClassVar[str] = "sequence_clip"
    low: float = 3e-4
    high: float = 4e-4
    token_form: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratio = _log_ratio(logprobs, old_logprobs)
        log_sequence_ratio = segments.expand(segments.mean(log_ratio))
        if self.token_form:
            log_sequence_ratio = log_sequence_ratio.detach() + _gradient_only(log_ratio)
        ratio = log_sequence_ratio.clamp(-SEQUENCE_LOG_RATIO_LIMIT, SEQUENCE_LOG_RATIO_LIMIT).exp()
        unclipped, clipped = _surrogates(ratio, advantages, self.low, self.high)
        return torch.maximum(unclipped, clipped), _clip_counts(ratio, advantages, self.low, self.high)


@dataclass(frozen=True)
class SoftGateLoss:
    """SAPO (arXiv 2511.20347, Eq. 5 and 6): a sigmoid in place of the clip.

    -A (4 / tau) sigmoid(tau (r - 1)) with tau_pos where A > 0 and tau_neg elsewhere. At r = 1 the
    gradient is PPO's, but the value is 2 / tau times -A: losses do not compare with those of a clip.

    Metric `gate` sums the share of the gradient that passes, 4 p (1 - p) with p the sigmoid's value;
    `clip_low` and `clip_high` count the tokens with a ratio below or above 1 that keep less than half.
    """

    name: ClassVar[str] = "soft_gate"
    tau_pos: float = 1.0
    tau_neg: float = 1.05

    def __post_init__(self) -> None:
        if self.tau_pos <= 0 or self.tau_neg <= 0:
            raise ValueError("tau_pos and tau_neg must be positive (the paper's are 1.0 and 1.05)")

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        ratio = _log_ratio(logprobs, old_logprobs).exp()
        tau = torch.full_like(ratio, self.tau_neg).masked_fill(advantages > 0, self.tau_pos)
        opening = torch.sigmoid(tau * (ratio - 1))
        gate = (4 * opening * (1 - opening)).detach()
        metrics = {
            "clip_low": _count((gate < 0.5) & (ratio < 1), ratio),
            "clip_high": _count((gate < 0.5) & (ratio > 1), ratio),
            "gate": gate.sum(),
        }
        return -advantages * 4 / tau * opening, metrics


@dataclass(frozen=True)
class CispoLoss:
    """CISPO (MiniMax-M1, arXiv 2506.13585, Eq. 4 and 5): clip the weight, never the token.

    -sg(clip(r, low, high)) A logprob: every token keeps its gradient, with a bounded weight.

    `low` and `high` are ABSOLUTE bounds of the ratio r, as in TRL and ms-swift: `high=5.0` caps it at 5.
    The paper and verl write 1 - eps_low and 1 + eps_high: eps 0.2 and 0.28 there are 0.8 and 1.28 here.
    The paper sets no lower bound and does not tell its upper one; 5 is what TRL names for ScaleRL
    (arXiv 2510.13786). `clip_low` and `clip_high` count capped weights, whatever the advantage's sign.
    """

    name: ClassVar[str] = "cispo"
    low: float | None = None
    high: float = 5.0

    def __post_init__(self) -> None:
        if self.high <= 0:
            raise ValueError("high must be positive: it is the largest ratio, such as 5.0")
        if self.low is not None and not 0 <= self.low <= self.high:
            raise ValueError("low must lie between 0 and high: both bound the ratio itself; None is no bound")

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, segments: Segments
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratio = _log_ratio(logprobs, old_logprobs)
        ratio = log_ratio.detach().exp()
        low = 0.0 if self.low is None else self.low
        weight = ratio.clamp(low, self.high)
        metrics = {
            "clip_low": _count(ratio < low, ratio),
            "clip_high": _count(ratio > self.high, ratio),
        }
        # The value of logprobs with the gradient of the clamped log-ratio, which ends at the clamp.
        guarded = logprobs.detach() + _gradient_only(log_ratio)
        return -weight * advantages * guarded, metrics


def _log_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    return (logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def _gradient_only(values: Tensor) -> Tensor:
    """Zeros that carry the gradient of `values`."""
    return values - values.detach()


def _surrogates(ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    return -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)


def _clip_counts(ratio: Tensor, advantages: Tensor, low: float, high: float) -> dict[str, Tensor]:
    return {
        "clip_low": _count((advantages < 0) & (ratio < 1 - low), ratio),
        "clip_high": _count((advantages > 0) & (ratio > 1 + high), ratio),
    }


def _count(tokens: Tensor, like: Tensor) -> Tensor:
    return tokens.sum().to(like.dtype)


def _check_range(low: float, high: float) -> None:
    if low < 0 or high < 0:
        raise ValueError(f"low and high must be at least 0, but they are {low} and {high}")

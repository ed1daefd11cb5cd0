"""Estimates of the divergence from a reference model, per token."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]

EXPONENT_LIMIT = 20.0


@dataclass(frozen=True)
class KLPenalty:
    """How strongly, and where, the policy is held near the reference."""

    coefficient: float
    estimator: Estimator = "k3"
    where: Literal["loss", "reward"] = "loss"
    """Added to the loss of each token (GRPO, arXiv 2402.03300, Eq. 3), or summed and taken off the reward."""

    def __post_init__(self) -> None:
        if self.coefficient <= 0:
            raise ValueError("coefficient must be positive; leave kl out to switch the penalty off")
        if self.estimator not in _ESTIMATORS:
            raise ValueError(f"estimator must be one of {', '.join(_ESTIMATORS)}, not {self.estimator!r}")
        if self.where not in ("loss", "reward"):
            raise ValueError(f"where must be loss or reward, not {self.where!r}")
        if self.estimator == "k1" and self.where == "loss":
            warnings.warn(
                "kl: k1 in the loss does not hold the policy near the reference: on-policy its expected "
                "gradient is zero. Use k2 or k3 in the loss, or k1 in the reward.",
                stacklevel=3,
            )


def estimate(logprobs: Tensor, ref_logprobs: Tensor, estimator: Estimator) -> Tensor:
    """KL(policy || reference) per token [N], estimated from the sampled tokens.

    k1 = log p - log q; k2 = (log p - log q)^2 / 2; k3 = q / p - log(q / p) - 1, the one of GRPO
    (arXiv 2402.03300, Eq. 4). For k3 the log-ratio is clamped at +-20, with no gradient beyond.
    """
    return _ESTIMATORS[estimator](logprobs - ref_logprobs)


def _k1(log_ratio: Tensor) -> Tensor:
    return log_ratio


def _k2(log_ratio: Tensor) -> Tensor:
    return 0.5 * log_ratio.square()


def _k3(log_ratio: Tensor) -> Tensor:
    inverse = (-log_ratio).clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT)
    # expm1 keeps the small differences that exp(x) - 1 would round away.
    return torch.expm1(inverse) - inverse


_ESTIMATORS = {"k1": _k1, "k2": _k2, "k3": _k3}

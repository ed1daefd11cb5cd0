"""The named algorithms: one row of vetted settings each. docs/papers.md traces every value to its paper."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from dapo.core.advantages import Advantage, GroupCentered, GroupNormalized
from dapo.core.kl import KLPenalty
from dapo.core.losses import CispoLoss, ClipLoss, Loss, SequenceClipLoss, SoftGateLoss
from dapo.core.masks import EntropyMask, OverlongFilter
from dapo.core.off_policy import ImportanceCorrection
from dapo.core.reduce import ConstantMean, Reduction, SequenceMean, TokenMean
from dapo.core.shaping import SoftOverlong


@dataclass(frozen=True)
class Algorithm:
    """What one algorithm does at each place of the loop."""

    name: str
    paper: str
    """Where it is defined."""
    loss: Loss
    reduction: Reduction
    advantage: Advantage
    signed_rewards: bool = True
    """Scores of 0 to 1 become rewards of -1 to 1."""
    soft_overlong: SoftOverlong | None = None
    overlong_filter: OverlongFilter | None = None
    entropy_mask: EntropyMask | None = None
    kl: KLPenalty | None = None
    entropy_bonus: float = 0.0
    """Times the entropy of each token, taken off its loss."""
    off_policy: ImportanceCorrection | None = field(default_factory=ImportanceCorrection)
    """Acts on tokens whose sampler is stale or not exactly the learner; on no others."""
    sampling_policy: Literal["refill", "off"] = "off"
    """Dynamic sampling: sample on until enough groups carry a signal, or train on every group."""

    def __post_init__(self) -> None:
        if self.entropy_bonus < 0:
            raise ValueError("entropy_bonus must be at least 0: a negative one would reward certainty")
        if self.sampling_policy not in ("refill", "off"):
            raise ValueError(f"sampling_policy must be refill or off, not {self.sampling_policy!r}")

    def resolved(self, max_completion_tokens: int) -> Algorithm:
        """With every setting filled in that follows from the limit on completions."""
        soft_overlong, reduction = self.soft_overlong, self.reduction
        if soft_overlong is not None:
            soft_overlong = soft_overlong.resolved(max_completion_tokens)
        if isinstance(reduction, ConstantMean):
            reduction = reduction.resolved(max_completion_tokens)
        return replace(self, soft_overlong=soft_overlong, reduction=reduction)


_ROWS = (
    Algorithm(
        name="grpo",
        paper="DeepSeekMath, arXiv 2402.03300, Sec. 4.1, Eq. 3",
        loss=ClipLoss(low=0.2, high=0.2),
        reduction=SequenceMean(),
        advantage=GroupNormalized(),
        kl=KLPenalty(0.04, "k3", "loss"),
    ),
    Algorithm(
        name="dr_grpo",
        paper="Understanding R1-Zero-Like Training, arXiv 2503.20783, Sec. 3.2",
        loss=ClipLoss(low=0.2, high=0.2),
        reduction=ConstantMean(),
        advantage=GroupCentered(),
        signed_rewards=False,
    ),
    Algorithm(
        name="dapo",
        paper="DAPO, arXiv 2503.14476, Sec. 3, Eq. 8",
        loss=ClipLoss(low=0.2, high=0.28),
        reduction=TokenMean(),
        advantage=GroupNormalized(),
        soft_overlong=SoftOverlong(),
        sampling_policy="refill",
    ),
    Algorithm(
        name="dapo-80-20",
        paper="Yuan3.0 Flash, arXiv 2601.01718, Eq. 4 and 5, after Beyond the 80/20 Rule, arXiv 2506.01939",
        loss=ClipLoss(low=0.2, high=0.28, optimized_dual_clip=True),
        reduction=TokenMean(),
        advantage=GroupNormalized(),
        soft_overlong=SoftOverlong(),
        entropy_mask=EntropyMask(keep=0.2, scope="response", denominator="all"),
        sampling_policy="refill",
    ),
    Algorithm(
        name="gspo",
        paper="GSPO, arXiv 2507.18071, Sec. 4.1, Eq. 5",
        loss=SequenceClipLoss(low=3e-4, high=4e-4),
        reduction=SequenceMean(),
        advantage=GroupNormalized(),
        signed_rewards=False,
        off_policy=ImportanceCorrection(level="sequence_mean"),
    ),
    Algorithm(
        name="sapo",
        paper="SAPO, arXiv 2511.20347, Sec. 3, Eq. 5",
        loss=SoftGateLoss(tau_pos=1.0, tau_neg=1.05),
        reduction=SequenceMean(),
        advantage=GroupNormalized(),
    ),
    Algorithm(
        name="cispo",
        paper="MiniMax-M1, arXiv 2506.13585, Sec. 3.1, Eq. 4",
        loss=CispoLoss(low=None, high=5.0),
        reduction=TokenMean(),
        advantage=GroupNormalized(),
        soft_overlong=SoftOverlong(),
        sampling_policy="refill",
    ),
)

PRESETS: dict[str, Algorithm] = {row.name: row for row in _ROWS}

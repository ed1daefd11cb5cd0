"""The headline numbers of the golden vectors, copied as facts: they need no file."""

from __future__ import annotations

import pytest
import torch

from dapo.core.advantages import GroupNormalized
from dapo.core.losses import CispoLoss, ClipLoss, Loss, SequenceClipLoss, SoftGateLoss
from dapo.core.masks import EntropyMask, OverlongFilter
from dapo.core.reduce import ConstantMean, Reduction, SequenceMean, SequenceSum, TokenMean, Totals
from tests.unit.core.golden import Batch, b0, close, double, run

HEADLINES: list[tuple[Loss, Reduction, float]] = [
    (ClipLoss(high=0.28), TokenMean(), 1.0798235),
    (ClipLoss(high=0.28, dual_clip=10.0), TokenMean(), 0.9857059),
    (ClipLoss(high=0.28, dual_clip=3.0), TokenMean(), 0.5739412),
    (ClipLoss(high=0.28, dual_clip=10.0), SequenceMean(), 0.5866125),
    (ClipLoss(high=0.28, dual_clip=10.0), SequenceSum(), 4.18925),
    (ClipLoss(high=0.28, dual_clip=10.0), ConstantMean(8), 0.52365625),
    (SequenceClipLoss(), SequenceMean(), 0.2984012),
    (SequenceClipLoss(token_form=True), SequenceMean(), 0.2984012),
    (SoftGateLoss(), SequenceMean(), 0.2112117),
    (SoftGateLoss(), TokenMean(), 0.6911399),
    (CispoLoss(), TokenMean(), 0.2376969),
    (CispoLoss(low=0.8, high=1.28), TokenMean(), -0.0984538),
    (CispoLoss(high=0.2), TokenMean(), -0.0282603),
]


@pytest.mark.parametrize(("loss", "reduction", "value"), HEADLINES)
def test_losses(loss: Loss, reduction: Reduction, value: float) -> None:
    close(run(b0(), loss, reduction).value, value, 1e-6)


def test_gspo_with_every_sequence_clipped() -> None:
    result = run(b0(flipped=True), SequenceClipLoss(), SequenceMean())
    close(result.value, -0.0253425, 1e-6)
    assert not result.gradient.any()
    assert result.metrics["clip_low"] + result.metrics["clip_high"] == 17


def test_micro_batches_add_up_to_the_global_token_mean() -> None:
    batch, loss = b0(), ClipLoss(high=0.28, dual_clip=10.0)
    shares = []
    for rows in ([0], [1], [2, 3]):
        mask = torch.zeros_like(batch.mask)
        mask[rows] = batch.mask[rows]
        micro = Batch.of({**batch.extra, "mask": mask.tolist()})
        shares.append(run(micro, loss, TokenMean(), totals=batch.totals).value)
    close(sum(shares), 0.9857059, 1e-6)


def test_fully_masked_row() -> None:
    batch, loss = b0().without(2), ClipLoss(high=0.28, dual_clip=10.0)
    close(run(batch, loss, SequenceMean()).value, 0.9008167, 1e-6)
    close(run(batch, loss, TokenMean()).value, 1.1646, 1e-6)
    # TRL and ms-swift count the empty row, and ms-swift its tokens.
    close(run(batch, loss, SequenceMean(), totals=Totals(15, 4)).value, 0.6756125, 1e-6)
    close(run(batch, loss, TokenMean(), totals=Totals(17, 4)).value, 1.0275882, 1e-6)


def test_eighty_twenty() -> None:
    batch = b0()
    (kept,) = EntropyMask()([batch.entropy], [torch.ones_like(batch.entropy, dtype=torch.bool)])
    assert int(kept.sum()) == 4
    loss, weights = ClipLoss(high=0.28), kept.double()
    close(run(batch, loss, TokenMean(), weights=weights).value, 0.1228235, 1e-6)
    close(run(batch, loss, TokenMean(), weights=weights, totals=Totals(4, 4)).value, 0.522, 1e-6)


def test_truncation_baselines() -> None:
    rewards, truncated = [double([1, -1, -1, 1])], torch.tensor([False, True, False, False])
    batch, loss = b0().without(1), ClipLoss(high=0.28, dual_clip=10.0)
    for in_baseline, expected in ((True, -0.5581923), (False, -0.2461609)):
        baseline = OverlongFilter(in_baseline).baseline(truncated)
        (advantages,) = GroupNormalized()(rewards, [baseline])
        close(run(batch, loss, TokenMean(), advantages=advantages).value, expected, 1e-6)

"""Losses: gradients by finite differences, extremes, splits, and the Yuan3.0 reference numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dapo.core import losses, reduce
from dapo.core.losses import CispoLoss, ClipLoss, Loss, SequenceClipLoss, SoftGateLoss
from dapo.core.parts import parts
from dapo.core.reduce import Reduction, SequenceMean, TokenMean, count_totals
from dapo.core.segments import Segments

LOSSES: list[Loss] = [
    *(cls() for cls in parts(losses).values()),
    ClipLoss(high=0.28, dual_clip=3.0),
    ClipLoss(high=0.28, optimized_dual_clip=True),
    SequenceClipLoss(low=0.2, high=0.28, token_form=True),
    CispoLoss(low=0.8, high=1.28),
]
REDUCTIONS: list[Reduction] = [
    cls().resolved(7) if name == "constant" else cls() for name, cls in parts(reduce).items()
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS, ids=lambda r: r.name)

finite = st.floats(-3, 3, allow_nan=False)
token = st.tuples(finite, finite, st.booleans())
batches = st.lists(st.tuples(finite, st.lists(token, max_size=4)), max_size=5)
"""Sequences, possibly empty: an advantage, and per token log-probability, log-ratio, whether it counts."""

Sequences = list[tuple[float, list[tuple[float, float, bool]]]]


def gradient_and_value(
    sequences: Sequences, loss: Loss, reduction: Reduction, groups: Sequence[Sequence[int]]
) -> tuple[list[Tensor], Tensor]:
    """Gradient per sequence and the loss, when the update is cut into these groups of sequences."""
    counted = [torch.tensor([c for *_, c in tokens], dtype=torch.bool) for _, tokens in sequences]
    totals = count_totals(counted)
    gradients: list[Tensor] = [torch.empty(0)] * len(sequences)
    value = torch.zeros((), dtype=torch.float64)
    for group in groups:
        lengths = [len(sequences[i][1]) for i in group]
        segments = Segments.from_lengths(lengths)
        rows = [t for i in group for t in sequences[i][1]]
        old = torch.tensor([t[0] for t in rows], dtype=torch.float64)
        ratio = torch.tensor([t[1] for t in rows], dtype=torch.float64)
        logprobs = (old + ratio).requires_grad_()
        advantages = torch.tensor([sequences[i][0] for i in group], dtype=torch.float64)
        mask = torch.cat([counted[i] for i in group]) if group else torch.empty(0, dtype=torch.bool)
        per_token, _ = loss(logprobs, old, segments.expand(advantages), segments)
        share = reduction(per_token * mask, segments, totals, mask)
        (gradient,) = torch.autograd.grad(share, logprobs)
        value = value + share.detach()
        for i, part in zip(group, gradient.split(lengths), strict=True):
            gradients[i] = part
    return gradients, value


def assert_same(actual: tuple[list[Tensor], Tensor], expected: tuple[list[Tensor], Tensor]) -> None:
    torch.testing.assert_close(actual[1], expected[1], rtol=1e-10, atol=1e-12)
    for a, e in zip(actual[0], expected[0], strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-12)


@each_loss
@each_reduction
@settings(max_examples=10, deadline=None)
@given(sequences=batches, data=st.data())
def test_micro_batches_and_order_change_nothing(
    loss: Loss, reduction: Reduction, sequences: Sequences, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(sequences))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3)))
    groups = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    whole = gradient_and_value(sequences, loss, reduction, [range(len(sequences))])
    assert_same(gradient_and_value(sequences, loss, reduction, groups), whole)


def example() -> tuple[Tensor, Tensor, Tensor, Segments]:
    """Eleven tokens of three sequences, away from every kink, with advantages of both signs."""
    generator = torch.Generator().manual_seed(3)
    segments = Segments.from_lengths([4, 1, 6])
    old = -torch.rand(11, generator=generator, dtype=torch.float64) * 3
    logprobs = old + torch.randn(11, generator=generator, dtype=torch.float64) * 0.7
    advantages = segments.expand(torch.tensor([1.3, -0.6, -1.1], dtype=torch.float64))
    return logprobs, old, advantages, segments


@each_loss
@each_reduction
def test_gradient_is_the_finite_difference(loss: Loss, reduction: Reduction) -> None:
    logprobs, old, advantages, segments = example()
    totals = count_totals([torch.ones(n, dtype=torch.bool) for n in (4, 1, 6)])
    stopped = isinstance(loss, CispoLoss)

    def value(point: Tensor) -> Tensor:
        # A stopped gradient is a constant: moving the old policy along keeps CISPO's weight where it is.
        anchor = old + (point - logprobs) if stopped else old
        form = SequenceClipLoss(loss.low, loss.high) if isinstance(loss, SequenceClipLoss) else loss
        return reduction(form(point, anchor, advantages, segments)[0], segments, totals)

    point = logprobs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        reduction(loss(point, old, advantages, segments)[0], segments, totals), point
    )
    step = 1e-6
    for i in range(len(logprobs)):
        shift = torch.zeros_like(logprobs)
        shift[i] = step
        slope = (value(logprobs + shift) - value(logprobs - shift)) / (2 * step)
        torch.testing.assert_close(gradient[i], slope, rtol=1e-6, atol=1e-8)


def test_the_example_reaches_every_branch() -> None:
    logprobs, old, advantages, segments = example()
    _, counts = ClipLoss(dual_clip=1.5)(logprobs, old, advantages, segments)
    assert all(float(count) >= 1 for count in counts.values()), counts
    _, gates = SoftGateLoss()(logprobs, old, advantages, segments)
    assert 0 < float(gates["gate"]) < 11


@each_loss
@pytest.mark.parametrize("advantage", [1.5, -0.8, 0.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_ratios_are_finite_and_without_gradient(
    loss: Loss, advantage: float, sign: float, dtype: torch.dtype
) -> None:
    segments = Segments.from_lengths([3, 1])
    old = torch.tensor([-1.0, -2.0, -0.5, -3.0], dtype=dtype)
    logprobs = (old + sign * 1e4).requires_grad_()
    per_token, metrics = loss(logprobs, old, torch.full_like(old, advantage), segments)
    assert per_token.isfinite().all()
    assert all(value.isfinite() for value in metrics.values())
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    assert gradient.tolist() == [0.0] * 4


@each_loss
@pytest.mark.parametrize("advantage", [1.5, -0.8])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_extreme_token_gets_no_gradient_and_spoils_no_other(
    loss: Loss, advantage: float, sign: float
) -> None:
    segments = Segments.from_lengths([3])
    old = torch.tensor([-1.0, -2.0, -0.5])
    logprobs = (old + torch.tensor([0.05, sign * 1e4, -0.05])).requires_grad_()
    per_token, _ = loss(logprobs, old, torch.full_like(old, advantage), segments)
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    assert per_token.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient[1] == 0


@pytest.mark.parametrize("token_form", [False, True])
@pytest.mark.parametrize(("log_ratio", "moves"), [(9.9, True), (10.1, False), (-9.9, True), (-10.1, False)])
def test_the_mean_over_a_sequence_is_clamped_at_ten(token_form: bool, log_ratio: float, moves: bool) -> None:
    segments = Segments.from_lengths([2])
    old = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    logprobs = (old + log_ratio + torch.tensor([0.05, -0.05])).requires_grad_()
    advantages = torch.full_like(old, -1.0 if log_ratio > 0 else 1.0)  # the side on which nothing is clipped
    per_token, _ = SequenceClipLoss(token_form=token_form)(logprobs, old, advantages, segments)
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    assert bool(gradient.any()) == moves


@each_loss
def test_no_tokens_give_no_loss(loss: Loss) -> None:
    empty = torch.empty(0, requires_grad=True)
    for segments in (Segments.from_lengths([]), Segments.from_lengths([0, 0])):
        per_token, metrics = loss(empty, empty.detach(), empty.detach(), segments)
        assert per_token.shape == (0,)
        assert all(value == 0 for value in metrics.values())
        per_token.sum().backward()


@each_loss
def test_on_policy_gradient_is_the_policy_gradient(loss: Loss) -> None:
    """At a ratio of 1 every loss has the gradient -A, whatever its value."""
    segments = Segments.from_lengths([1, 2])
    old = torch.tensor([-1.0, -2.0, -0.5], dtype=torch.float64)
    advantages = torch.tensor([2.0, -0.5, -0.5], dtype=torch.float64)
    logprobs = old.clone().requires_grad_()
    per_token, metrics = loss(logprobs, old, advantages, segments)
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    torch.testing.assert_close(gradient, -advantages)
    assert metrics["clip_low"] == metrics["clip_high"] == 0


def test_gspo_token_form_differs_where_advantages_do_within_a_sequence() -> None:
    segments = Segments.from_lengths([2])
    old = torch.tensor([-1.0, -2.0])
    advantages = torch.tensor([1.0, 0.0])
    gradients = []
    for token_form in (False, True):
        logprobs = old.clone().requires_grad_()
        per_token, _ = SequenceClipLoss(0.2, 0.2, token_form)(logprobs, old, advantages, segments)
        gradients.append(torch.autograd.grad(per_token.sum(), logprobs)[0].tolist())
    assert gradients == [[-0.5, -0.5], [-1.0, 0.0]]


# Yuan3.0's own numbers: two sequences, the last token of the second masked, A = 1 and -0.5.
YUAN_OLD = torch.tensor([-1, -2, -0.5, -1.5, -0.1, -0.7, -1.1, -2.2, -0.3], dtype=torch.float64)
YUAN_NEW = torch.tensor([-0.9, -2.6, -0.5, -1, -0.1, -0.2, -1.3, -2.1, -0.6], dtype=torch.float64)
YUAN_KEPT = torch.tensor([0, 0, 0, 1, 0, 0, 0, 1, 0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "weights", "by_token", "by_sequence"),
    [
        (ClipLoss(high=0.28, dual_clip=10.0), None, -0.305297, -0.220109),
        (ClipLoss(high=0.28, optimized_dual_clip=True), None, -0.325781, -0.243154),
        (ClipLoss(high=0.28, optimized_dual_clip=True), YUAN_KEPT, -0.080824, -0.058927),
        (SoftGateLoss(), None, -0.703667, -0.534419),
        (SequenceClipLoss(), None, None, -0.243671),
    ],
)
def test_yuan_numbers(loss: Loss, weights: Tensor | None, by_token: float | None, by_sequence: float) -> None:
    segments = Segments.from_lengths([5, 4])
    totals = count_totals([torch.ones(5, dtype=torch.bool), torch.ones(4, dtype=torch.bool)])
    advantages = segments.expand(torch.tensor([1.0, -0.5], dtype=torch.float64))
    per_token, _ = loss(YUAN_NEW, YUAN_OLD, advantages, segments)
    if weights is not None:
        per_token = per_token * weights
    assert float(SequenceMean()(per_token, segments, totals)) == pytest.approx(by_sequence, abs=1e-6)
    if by_token is not None:
        assert float(TokenMean()(per_token, segments, totals)) == pytest.approx(by_token, abs=1e-6)


def test_optimized_dual_clip_stops_both_sides() -> None:
    segments = Segments.from_lengths([4])
    old = torch.zeros(4, dtype=torch.float64)
    logprobs = torch.tensor([0.5, 1.1, 2.0, 0.9], dtype=torch.float64).log().requires_grad_()
    loss = ClipLoss(high=0.28, optimized_dual_clip=True)
    per_token, metrics = loss(logprobs, old, torch.full_like(old, -1.0), segments)
    torch.testing.assert_close(per_token.tolist(), [0.8, 1.1, 1.28, 0.9])
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs)
    torch.testing.assert_close(gradient.tolist(), [0.0, 1.1, 0.0, 0.9])
    assert (metrics["clip_low"], metrics["clip_high"], metrics["clip_dual"]) == (1, 0, 1)
    _, metrics = loss(logprobs, old, torch.full_like(old, 1.0), segments)
    assert (metrics["clip_low"], metrics["clip_high"], metrics["clip_dual"]) == (0, 1, 0)


def test_soft_gate_counts_tokens_that_keep_less_than_half() -> None:
    segments = Segments.from_lengths([3])
    old = torch.zeros(3)
    logprobs = torch.tensor([0.01, 1.0, 4.0]).log()
    _, metrics = SoftGateLoss(tau_pos=2.0)(logprobs, old, torch.ones(3), segments)
    assert (metrics["clip_low"], metrics["clip_high"]) == (1, 1)
    _, gentle = SoftGateLoss(tau_pos=1.0)(logprobs, old, torch.ones(3), segments)
    assert (gentle["clip_low"], gentle["clip_high"]) == (0, 1)


def test_cispo_counts_capped_weights_of_either_sign() -> None:
    segments = Segments.from_lengths([3])
    old = torch.zeros(3)
    logprobs = torch.tensor([0.1, 1.0, 9.0]).log()
    for advantage in (1.0, -1.0):
        _, metrics = CispoLoss(low=0.5, high=5.0)(logprobs, old, torch.full((3,), advantage), segments)
        assert (metrics["clip_low"], metrics["clip_high"]) == (1, 1)


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (ClipLoss, {"low": -0.1}, "low and high"),
        (SequenceClipLoss, {"high": -1.0}, "low and high"),
        (ClipLoss, {"dual_clip": 1.0}, "dual_clip must be above 1"),
        (ClipLoss, {"dual_clip": 10.0, "optimized_dual_clip": True}, "exclude each other"),
        (SoftGateLoss, {"tau_neg": 0.0}, "tau_neg"),
        (CispoLoss, {"high": 0.0}, "high must be positive"),
        (CispoLoss, {"low": 6.0}, "low must lie between"),
    ],
)
def test_impossible_settings_are_refused(cls: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**values)

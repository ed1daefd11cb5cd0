"""KL estimators: values, clamps, precision, and the warning about k1."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from dapo.core.kl import KLPenalty, estimate


def test_values() -> None:
    logprobs, reference = torch.tensor([-1.0, -2.0]).double(), torch.tensor([-1.5, -1.0]).double()
    assert estimate(logprobs, reference, "k1").tolist() == [0.5, -1.0]
    assert estimate(logprobs, reference, "k2").tolist() == [0.125, 0.5]
    expected = [math.exp(-0.5) + 0.5 - 1, math.exp(1.0) - 1 - 1]
    assert estimate(logprobs, reference, "k3").tolist() == pytest.approx(expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_k3_is_bounded_without_gradient_beyond_the_clamp(sign: float) -> None:
    logprobs = torch.tensor([sign * 1e4], requires_grad=True)
    value = estimate(logprobs, torch.zeros(1), "k3")
    value.sum().backward()
    assert value.isfinite().all()
    assert value >= 0
    assert logprobs.grad is not None
    assert logprobs.grad.item() == 0


def test_k3_resolves_small_differences_in_float32() -> None:
    difference = 1e-4
    value = estimate(torch.tensor([-difference]), torch.zeros(1), "k3")
    assert value.item() == pytest.approx(difference**2 / 2, rel=5e-3)


def test_k1_in_the_loss_has_no_expected_gradient_and_k3_has() -> None:
    """Summed over the vocabulary with the policy's own probabilities, which is the expectation."""
    logits = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), -1)
    logprobs = torch.log_softmax(logits, -1)
    for estimator, vanishes in (("k1", True), ("k2", False), ("k3", False)):
        expected = (logprobs.detach().exp() * estimate(logprobs, reference, estimator)).sum()  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(expected, logits, retain_graph=True)
        assert (float(gradient.abs().max()) < 1e-12) == vanishes


def test_k1_in_the_loss_warns_and_nothing_else_does() -> None:
    with pytest.warns(UserWarning, match="expected gradient is zero") as caught:
        KLPenalty(0.1, "k1")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KLPenalty(0.1, "k1", where="reward")
        KLPenalty(0.1, "k2")
        KLPenalty(0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coefficient": 0.0}, "coefficient must be positive"),
        ({"coefficient": 0.1, "estimator": "k4"}, "estimator must be one of k1, k2, k3"),
        ({"coefficient": 0.1, "where": "advantage"}, "where must be loss or reward"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KLPenalty(**values)  # type: ignore[arg-type]

"""Importance weights between sampler and learner, and how far the two disagree."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dapo.core.off_policy import ImportanceCorrection, mismatch
from dapo.core.segments import Segments

SEGMENTS = Segments.from_lengths([2, 0, 1])
OLD = torch.tensor([-1.0, -1.0, -2.0], dtype=torch.float64)
SAMPLER = OLD - torch.tensor([0.1, 0.3, -3.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "log_weights"),
    [
        ({"high": 9.0}, [0.1, 0.3, -3.0]),
        ({"level": "sequence", "high": 9.0}, [0.4, 0.4, -3.0]),
        ({"level": "sequence_mean", "high": 9.0}, [0.2, 0.2, -3.0]),
    ],
)
def test_levels(settings: dict[str, Any], log_weights: list[float]) -> None:
    weights = ImportanceCorrection(**settings)(OLD, SAMPLER, SEGMENTS)
    torch.testing.assert_close(weights, torch.tensor(log_weights, dtype=torch.float64).exp())


def test_truncate_and_mask() -> None:
    log_ratio = torch.tensor([0.0, 2.0, -3.0])
    segments = Segments.from_lengths([3])
    for mode, expected in (("truncate", [1.0, 2.0, 0.5]), ("mask", [1.0, 0.0, 0.0])):
        correction = ImportanceCorrection(mode=mode, high=2.0, low=0.5)  # type: ignore[arg-type]
        assert correction(log_ratio, torch.zeros(3), segments).tolist() == expected


def test_normalized_weights_have_mean_one_over_their_level() -> None:
    tokens = ImportanceCorrection(normalize=True)(OLD, SAMPLER, SEGMENTS)
    assert float(tokens.mean()) == pytest.approx(1)
    sequences = ImportanceCorrection("sequence", normalize=True)(OLD, SAMPLER, SEGMENTS)
    # The sequence without a token does not enter the mean.
    assert float(sequences[1] + sequences[2]) == pytest.approx(2)


@pytest.mark.parametrize("level", ["token", "sequence", "sequence_mean"])
@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_are_finite_and_detached(level: Any, sign: int) -> None:
    old = (OLD + sign * 1e4).requires_grad_()
    for mode in ("truncate", "mask"):
        correction = ImportanceCorrection(level, mode, high=2.0, low=0.5, normalize=True)  # type: ignore[arg-type]
        weights = correction(old, SAMPLER, SEGMENTS)
        assert weights.isfinite().all()
        assert not weights.requires_grad
        if mode == "mask":
            assert weights.tolist() == [0, 0, 0]


def test_no_tokens() -> None:
    empty = torch.empty(0)
    for normalize in (False, True):
        correction = ImportanceCorrection("sequence", normalize=normalize)
        assert correction(empty, empty, Segments.from_lengths([0])).shape == (0,)


def test_mismatch_of_equal_policies_and_of_nothing() -> None:
    nothing = dict.fromkeys(mismatch(OLD, OLD), 0.0) | {"ess": 1.0}
    assert mismatch(OLD, OLD) == pytest.approx(nothing)
    assert mismatch(torch.empty(0), torch.empty(0)) == pytest.approx(nothing)


def test_mismatch_values() -> None:
    old, sampler = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -2.0])
    measured = mismatch(old, sampler)
    assert measured["kl"] == pytest.approx(-0.25)
    assert measured["k3_kl"] == pytest.approx((torch.tensor(0.5).exp().item() - 1.5) / 2)
    assert measured["max_abs_logprob_difference"] == 0.5
    assert measured["mean_abs_logprob_difference"] == 0.25
    weight = torch.tensor([0.5, 0.0]).exp()
    assert measured["ess"] == pytest.approx(float(weight.mean() ** 2 / weight.square().mean()), rel=1e-5)
    probability = abs(float(old[0].exp() - sampler[0].exp()))
    assert measured["max_abs_probability_difference"] == pytest.approx(probability, rel=1e-5)
    assert measured["mean_abs_probability_difference"] == pytest.approx(probability / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": "word"}, "level must be"),
        ({"mode": "reject"}, "mode must be"),
        ({"high": 0.0}, "high must be positive"),
        ({"low": 3.0}, "low must lie between"),
        ({"low": -1.0}, "low must lie between"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImportanceCorrection(**values)

"""Which groups carry a signal."""

from __future__ import annotations

import numpy as np
import pytest

from dapo.core.signal import has_signal, verdict


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 0, 0], "signal"),
        ([0.2, 0.4], "signal"),
        ([1, 1], "all_right"),
        ([0.5, 0.5], "all_right"),
        ([0.4, 0.4], "all_wrong"),
        ([0], "all_wrong"),
        ([1], "all_right"),
    ],
)
def test_verdicts(scores: list[float], expected: str) -> None:
    assert verdict(scores) == expected
    assert has_signal(scores) == (expected == "signal")


def test_rounding_noise_is_no_signal() -> None:
    constant = [0.1, 0.1, 0.1]
    assert np.std(constant) > 0
    assert not has_signal(constant)
    assert not has_signal([0.1 + 0.2, 0.3])
    assert has_signal([0.1 + 0.2, 0.3], tolerance=0.0)


def test_an_empty_group_has_no_signal_and_no_verdict() -> None:
    assert not has_signal([])
    with pytest.raises(ValueError, match="at least one completion"):
        verdict([])

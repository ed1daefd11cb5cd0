"""Rewards from scores, and the soft overlong punishment."""

from __future__ import annotations

import pytest

from dapo.core.shaping import SoftOverlong, signed


def test_signed() -> None:
    assert [signed(score) for score in (0, 0.25, 1, True)] == [-1, -0.5, 1, 1]


@pytest.mark.parametrize(
    ("length", "with_floor", "without"),
    [(0, 0, 0), (80, 0, 0), (81, -0.1, -0.1), (90, -1, -1), (100, -2, -2), (110, -2, -3)],
)
def test_factor_and_floor(length: int, with_floor: float, without: float) -> None:
    assert SoftOverlong(100, 20, factor=2.0)(length) == pytest.approx(with_floor)
    assert SoftOverlong(100, 20, factor=2.0, floor=False)(length) == pytest.approx(without)


def test_no_punishment_is_zero_and_not_minus_zero() -> None:
    assert str(SoftOverlong(100, 20)(3) + 0.0) == "0.0"


def test_resolved_from_the_limit_on_completions() -> None:
    assert SoftOverlong().resolved(20480) == SoftOverlong(20480, 4096)
    assert SoftOverlong().resolved(3) == SoftOverlong(3, 1)
    assert SoftOverlong(cache_tokens=100).resolved(1000) == SoftOverlong(1000, 100)
    assert SoftOverlong(max_tokens=900, factor=0.5).resolved(1000) == SoftOverlong(900, 180, factor=0.5)


@pytest.mark.parametrize("unresolved", [SoftOverlong(), SoftOverlong(100), SoftOverlong(cache_tokens=5)])
def test_unresolved_punishment_cannot_be_called(unresolved: SoftOverlong) -> None:
    with pytest.raises(ValueError, match="resolved"):
        unresolved(3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"cache_tokens": 0}, "cache_tokens must be at least 1"),
        ({"max_tokens": 5, "cache_tokens": 6}, "must not exceed max_tokens"),
        ({"factor": 0.0}, "factor must be positive"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftOverlong(**values)  # type: ignore[arg-type]


def test_settings_that_never_act_or_cannot_be_met_are_refused_when_resolved() -> None:
    with pytest.raises(ValueError, match="never act"):
        SoftOverlong(20480, 4096).resolved(8192)
    with pytest.raises(ValueError, match="must not exceed"):
        SoftOverlong(cache_tokens=4096).resolved(1024)

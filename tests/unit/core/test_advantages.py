"""Advantages: degenerate groups, baselines that leave completions out, and invariances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dapo.core import advantages
from dapo.core.advantages import Advantage, BatchScaled, GroupCentered, GroupNormalized, LeaveOneOut
from dapo.core.parts import parts

ADVANTAGES: list[Advantage] = [cls() for cls in parts(advantages).values()]
each = pytest.mark.parametrize("advantage", ADVANTAGES, ids=lambda a: a.name)


def rewards(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mask(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


@each
@pytest.mark.parametrize("group", [(), (1.0,), (0.3, 0.3, 0.3), (0.1 + 0.2, 0.3, 0.3)])
def test_groups_without_a_signal_get_exactly_zero(advantage: Advantage, group: tuple[float, ...]) -> None:
    other = rewards(1, -1)
    result = advantage([rewards(*group), other])
    assert result[0].tolist() == [0.0] * len(group)
    assert result[1][0] > 0 > result[1][1]


@each
def test_a_baseline_of_one_gives_zero(advantage: Advantage) -> None:
    assert advantage([rewards(1, -1)], [mask(1, 0)])[0].tolist() == [0.0, 0.0]


@each
def test_completions_outside_the_baseline_get_zero_and_move_nothing(advantage: Advantage) -> None:
    apart = advantage([rewards(1, 99, -1, -1)], [mask(1, 0, 1, 1)])[0]
    (alone,) = advantage([rewards(1, -1, -1)])
    assert apart[1] == 0
    assert apart[[0, 2, 3]].tolist() == alone.tolist()


def test_known_values() -> None:
    group = [rewards(1, -1, -1, -1)]
    assert GroupCentered()(group)[0].tolist() == [1.5, -0.5, -0.5, -0.5]
    torch.testing.assert_close(LeaveOneOut()(group)[0], rewards(2, -2 / 3, -2 / 3, -2 / 3))
    torch.testing.assert_close(GroupNormalized(epsilon=0)(group)[0], rewards(1.5, -0.5, -0.5, -0.5))
    torch.testing.assert_close(
        GroupNormalized(ddof=0, epsilon=0)(group)[0], rewards(3**0.5, *[-(3**-0.5)] * 3)
    )


def test_the_batch_scale_reads_baselines_only() -> None:
    groups = [rewards(1, -1, 50), rewards(0, 0)]
    result = BatchScaled(epsilon=0)(groups, [mask(1, 1, 0), mask(1, 1)])
    scale = rewards(1, -1, 0, 0).std()
    torch.testing.assert_close(result[0], rewards(1, -1, 0) / scale)
    assert result[1].tolist() == [0.0, 0.0]


@each
def test_computed_in_float64_from_any_dtype(advantage: Advantage) -> None:
    (result,) = advantage([torch.tensor([1, 0, 0])])
    assert result.dtype == torch.float64
    assert advantage([]) == []


@each
@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.sampled_from([-2.0, -1.0, 0.5, 1.0]), min_size=2, max_size=8), shift=st.integers(-3, 3)
)
def test_sum_to_zero_and_ignore_a_shift(advantage: Advantage, values: list[float], shift: int) -> None:
    (result,) = advantage([rewards(*values)])
    assert float(result.sum()) == pytest.approx(0, abs=1e-9)
    (shifted,) = advantage([rewards(*values) + shift])
    torch.testing.assert_close(result, shifted)


@each
def test_a_baseline_of_another_size_is_refused(advantage: Advantage) -> None:
    with pytest.raises(ValueError, match="one entry per reward"):
        advantage([rewards(1, 0)], [mask(1)])


@pytest.mark.parametrize("cls", [GroupNormalized, BatchScaled])
def test_impossible_settings_are_refused(cls: type) -> None:
    with pytest.raises(ValueError, match="ddof"):
        cls(ddof=2)
    with pytest.raises(ValueError, match="epsilon"):
        cls(epsilon=-1.0)

"""The entropy mask and the overlong filter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dapo.core.masks import EntropyMask, OverlongFilter


def ones(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(0, 8, width=32), min_size=1, max_size=30),
    keep=st.sampled_from([0.1, 0.2, 0.5, 1.0]),
)
def test_threshold_is_the_linear_quantile(values: list[float], keep: float) -> None:
    entropies = torch.tensor(values, dtype=torch.float64)
    (kept,) = EntropyMask(keep)([entropies], [ones(len(values))])
    threshold = torch.quantile(entropies, 1 - keep)
    clear = (entropies - threshold).abs() > 1e-9  # rounding may fall on either side of a tie
    assert torch.equal(kept[clear], (entropies >= threshold)[clear])
    assert kept.any()


def test_ties_are_kept() -> None:
    (kept,) = EntropyMask()([torch.tensor([1.0, 1.0, 1.0, 0.5])], [ones(4)])
    assert kept.tolist() == [True, True, True, False]


def test_masked_tokens_neither_count_nor_stay() -> None:
    entropies = torch.tensor([9.0, 1.0, 2.0, 9.0])
    (kept,) = EntropyMask(0.5)([entropies], [torch.tensor([False, True, True, False])])
    assert kept.tolist() == [False, False, True, False]


def test_the_scope_decides_where_the_threshold_is_taken() -> None:
    entropies = [torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])]
    masks = [ones(2), ones(2)]
    step = EntropyMask(0.5, scope="step")(entropies, masks)
    response = EntropyMask(0.5, scope="response")(entropies, masks)
    assert [kept.tolist() for kept in step] == [[False, False], [True, True]]
    assert [kept.tolist() for kept in response] == [[False, True], [False, True]]


@pytest.mark.parametrize("scope", ["step", "response"])
def test_empty_completions_and_empty_steps(scope: str) -> None:
    mask = EntropyMask(scope=scope)  # type: ignore[arg-type]
    assert mask([], []) == []
    empty = torch.empty(0)
    kept = mask([empty, torch.tensor([3.0, 1.0])], [empty.bool(), torch.zeros(2, dtype=torch.bool)])
    assert [part.tolist() for part in kept] == [[], [False, False]]


def test_more_tokens_than_torch_quantile_takes() -> None:
    count = (1 << 24) + 2
    entropies = torch.arange(count, dtype=torch.int32)
    (kept,) = EntropyMask()([entropies], [ones(count)])
    assert int(kept.sum()) == pytest.approx(0.2 * count, abs=1)
    assert kept[-1]


@pytest.mark.parametrize(
    "values", [{"keep": 0.0}, {"keep": 1.5}, {"scope": "batch"}, {"denominator": "none"}]
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        EntropyMask(**values)  # type: ignore[arg-type]


def test_overlong_filter_takes_truncated_completions_out() -> None:
    trainable = torch.tensor([True, False, True])
    keeps = OverlongFilter()
    assert keeps.loss_mask(True, trainable).tolist() == [False, False, False]
    assert keeps.loss_mask(False, trainable).tolist() == [True, False, True]
    truncated = torch.tensor([True, False])
    assert keeps.baseline(truncated).tolist() == [True, True]
    assert OverlongFilter(in_baseline=False).baseline(truncated).tolist() == [False, True]

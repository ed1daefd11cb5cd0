"""Segments: sums, means and broadcasts over tokens in any order."""

from __future__ import annotations

import pytest
import torch

from dapo.core.segments import Segments


def test_sums_means_and_lengths_with_an_empty_sequence() -> None:
    segments = Segments.from_lengths([2, 0, 1])
    values = torch.tensor([1.0, 3.0, 5.0])
    assert segments.index.tolist() == [0, 0, 2]
    assert segments.lengths().tolist() == [2, 0, 1]
    assert segments.sum(values).tolist() == [4, 0, 5]
    assert segments.mean(values).tolist() == [2, 0, 5]
    assert segments.expand(torch.tensor([7, 8, 9])).tolist() == [7, 7, 9]


def test_tokens_may_stand_in_any_order() -> None:
    segments = Segments(torch.tensor([1, 0, 1]), 2)
    assert segments.mean(torch.tensor([2.0, 7.0, 4.0])).tolist() == [7, 3]


def test_no_sequences_at_all() -> None:
    segments = Segments.from_lengths([])
    assert segments.index.dtype == torch.int64
    assert segments.mean(torch.empty(0)).shape == (0,)
    assert segments.lengths().tolist() == []


def test_gradients_flow_through_sum_and_expand() -> None:
    segments = Segments.from_lengths([2, 1])
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (segments.expand(segments.mean(values)) * torch.tensor([1.0, 1.0, 5.0])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 1, 5]


def test_negative_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Segments.from_lengths([1, -1])

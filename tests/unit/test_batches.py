"""Batches waste little: of what a padded forward pass reads, nine tenths are tokens of samples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dapo.batches import USEFUL_SHARE, Layout, collate, plan, useful_share
from dapo.types import Sample

LAYOUTS: tuple[Layout, ...] = ("padded", "packed")


def sample(prompt: int, completion: int) -> Sample:
    """Token n of a sample has the id n, so that every place in a batch is known by its id."""
    return Sample(
        prompt_ids=list(range(prompt)),
        completion_ids=list(range(prompt, prompt + completion)),
        loss_mask=torch.ones(completion, dtype=torch.bool),
        sampler_logprobs=torch.zeros(completion),
    )


lengths = st.lists(st.tuples(st.integers(1, 64), st.integers(1, 512)), max_size=60)


@given(lengths, st.integers(1, 4000), st.sampled_from(LAYOUTS))
def test_every_plan_keeps_every_promise(sizes: list[tuple[int, int]], budget: int, layout: Layout) -> None:
    samples = [sample(*size) for size in sizes]
    planned = plan(samples, budget, layout)
    assert sorted(index for batch in planned for index in batch) == list(range(len(samples)))
    for batch in planned:
        own = [samples[index].total_tokens for index in batch]
        padded = len(own) * max(own) if layout == "padded" else sum(own)
        assert padded <= budget or len(own) == 1
        assert sum(own) >= USEFUL_SHARE * padded
        assert useful_share([[samples[index] for index in batch]], layout) == sum(own) / padded
    assert plan(samples, budget, layout) == planned


def test_a_batch_is_closed_by_its_budget_and_by_its_padding() -> None:
    """40 + 36 of 80 is 95 %, 40 + 36 + 30 of 120 only 88 %; a third of 30 tokens is beyond a budget of 80."""
    samples = [sample(10, completion) for completion in (20, 30, 20, 26, 20)]
    assert plan(samples, 80, "padded") == [[1, 3], [0, 2], [4]]
    assert plan(samples, 80, "packed") == [[1, 3], [0, 2], [4]]
    assert plan(samples, 1000, "padded") == [[1, 3], [0, 2, 4]]
    assert plan(samples, 1000, "packed") == [[1, 3, 0, 2, 4]]


def test_the_useful_share_is_of_all_batches_together() -> None:
    batches = [[sample(10, 30), sample(10, 10)], [sample(5, 5)]]
    assert useful_share(batches, "padded") == pytest.approx((40 + 20 + 10) / (40 * 2 + 10))
    assert useful_share(batches, "packed") == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_completion_token_is_predicted_from_the_token_before_it(layout: Layout) -> None:
    samples = [sample(3, 4), sample(2, 7), sample(4, 1)]
    batch = collate(samples, 99, layout)
    assert batch.targets.tolist() == [token for one in samples for token in one.completion_ids]
    assert torch.equal(batch.input_ids[batch.rows, batch.columns], batch.targets - 1)
    chosen = batch.only(batch.targets > 4)
    assert torch.equal(chosen.targets, batch.targets[batch.targets > 4])
    assert torch.equal(chosen.input_ids[chosen.rows, chosen.columns], chosen.targets - 1)


def test_padding_stands_behind_and_packed_samples_count_their_positions_anew() -> None:
    samples = [sample(3, 2), sample(2, 1)]
    assert collate(samples, 99, "padded").input_ids.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 99, 99]]
    packed = collate(samples, 99, "packed")
    assert packed.position_ids is not None
    assert packed.input_ids.tolist() == packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]

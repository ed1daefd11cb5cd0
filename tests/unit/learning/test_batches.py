"""Batches waste little: prompts are read once, or nine tenths of what is read are tokens of samples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dapo.learning.batches import USEFUL_SHARE, Layout, collate, plan, useful_tokens
from dapo.learning.shared_attention import Rows
from dapo.types import Sample

LAYOUTS: tuple[Layout, ...] = ("padded", "shared")


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
        if layout == "shared":
            assert sum(own) <= budget or len(own) == 1
            continue
        padded = len(own) * max(own)
        assert padded <= budget or len(own) == 1
        assert sum(own) >= USEFUL_SHARE * padded
        assert useful_tokens([[samples[index] for index in batch]], layout) == sum(own) / padded
    assert plan(samples, budget, layout) == planned


def test_a_batch_is_closed_by_its_budget_and_by_its_padding() -> None:
    """40 + 36 of 80 is 95 %, 40 + 36 + 30 of 120 only 88 %; a third of 30 tokens is beyond a budget of 80."""
    samples = [sample(10, completion) for completion in (20, 30, 20, 26, 20)]
    assert plan(samples, 80, "padded") == [[1, 3], [0, 2], [4]]
    assert plan(samples, 1000, "padded") == [[1, 3], [0, 2, 4]]


def test_samples_of_one_prompt_stay_together_as_far_as_they_fit() -> None:
    """50 of 90 tokens, then 60 of the other prompt's would be too many; 30 fit behind 60."""
    one, other = sample(10, 30), sample(20, 10)
    assert plan([one, other, sample(10, 0), other], 90, "shared") == [[0, 2, 1], [3]]
    assert plan([other, one, other], 200, "shared") == [[0, 2, 1]]


def test_useful_tokens_are_those_of_all_batches_together() -> None:
    """Shared, the prompt of 10 is read once and no last token: 10 + 29 + 9 and 5 + 4 of 60 and 10."""
    batches = [[sample(10, 30), sample(10, 10)], [sample(5, 5)]]
    assert useful_tokens(batches, "padded") == pytest.approx(70 / (40 * 2 + 10))
    assert useful_tokens(batches, "shared") == pytest.approx(70 / (48 + 9))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_completion_token_is_predicted_from_the_token_before_it(layout: Layout) -> None:
    samples = [sample(3, 4), sample(2, 7), sample(4, 1), sample(3, 2)]
    batch = collate(samples, 99, layout)
    assert batch.targets.tolist() == [token for one in samples for token in one.completion_ids]
    assert torch.equal(batch.input_ids[batch.rows, batch.columns], batch.targets - 1)
    chosen = batch.only(batch.targets > 4)
    assert torch.equal(chosen.targets, batch.targets[batch.targets > 4])
    assert torch.equal(chosen.input_ids[chosen.rows, chosen.columns], chosen.targets - 1)


def test_padding_stands_behind() -> None:
    samples = [sample(3, 2), sample(2, 1)]
    assert collate(samples, 99, "padded").input_ids.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 99, 99]]


def test_shared_prompts_come_first_and_each_completion_goes_on_with_its_own() -> None:
    """Prompts 0 1 2 and 0 1; then 3, 2 3, 3 4: completions without their last tokens."""
    samples = [sample(3, 2), sample(2, 3), sample(3, 3)]
    batch = collate(samples, 99, "shared")
    assert batch.position_ids is not None and batch.shared_rows is not None
    ids = [0, 1, 2, 0, 1, 3, 2, 3, 3, 4]
    assert batch.input_ids.tolist() == batch.position_ids.tolist() == [ids]
    assert batch.columns.tolist() == [2, 5, 4, 6, 7, 2, 8, 9]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 300)), min_size=1, max_size=20))
def test_attention_sees_every_sample_as_a_row_and_collects_every_token(sizes: list[tuple[int, int]]) -> None:
    samples = [sample(*size) for size in sizes]
    batch = collate(samples, 99, "shared")
    rows, ids = batch.shared_rows, batch.input_ids[0]
    assert rows is not None and len(rows.tokens) == sum(count * width for count, width in rows.shapes)
    pieces = ids[rows.tokens].split([count * width for count, width in rows.shapes])
    found = [
        row.tolist() for piece, shape in zip(pieces, rows.shapes, strict=True) for row in piece.view(shape)
    ]
    longest_first = sorted(samples, key=lambda one: -one.total_tokens)
    for row, one in zip(found, longest_first, strict=True):
        assert row[: one.total_tokens - 1] == list(range(one.total_tokens - 1))
    assert torch.equal(rows.tokens[rows.places], torch.arange(len(ids)))
    assert torch.equal(rows.tokens[rows.copies], torch.arange(len(ids)).repeat_interleave(counts(rows)))
    real = sum(one.total_tokens - 1 for one in samples)
    assert len(rows.copies) == len(rows.copies.unique()) == real


def counts(rows: Rows) -> Tensor:
    """In how many places each token stands."""
    return torch.diff(rows.offsets, append=torch.tensor([len(rows.copies)]))

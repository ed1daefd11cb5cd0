"""What is borrowed from an exact sampler, what is looked at all the same, and what stops a run."""

from __future__ import annotations

import pytest
import torch

from dapo.errors import UserError
from dapo.learning.agreement import SamplerDisagreesError, borrow, check, compared
from dapo.types import Sample

VERSION = 3


def sample(*versions: int, masked: bool = False) -> Sample:
    count = len(versions)
    return Sample(
        prompt_ids=[1],
        completion_ids=[2] * count,
        loss_mask=torch.full((count,), not masked),
        sampler_logprobs=-torch.rand(count) - 1,
        policy_versions=torch.tensor(versions),
    )


def fresh(count: int, tokens: int = 10) -> list[Sample]:
    return [sample(*[VERSION] * tokens) for _ in range(count)]


def borrowed(samples: list[Sample], version: int = VERSION) -> list[Sample]:
    own = {id(one) for one in borrow(samples, version)}
    return [one for one in samples if id(one) not in own]


def test_about_a_fiftieth_of_the_fresh_tokens_is_computed_all_the_same() -> None:
    samples = fresh(1000)
    assert len(borrowed(samples)) == 980
    for one in samples:
        assert one.old_is_borrowed == (len(one.old_logprobs) > 0)
        assert not one.old_is_borrowed or torch.equal(one.old_logprobs, one.sampler_logprobs)


def test_at_least_one_sample_is() -> None:
    assert len(borrowed(fresh(1))) == 0
    assert len(borrowed(fresh(5))) == 4


def test_the_choice_is_the_same_for_one_version_and_another_for_the_next() -> None:
    def choice(version: int) -> list[int]:
        samples = [sample(*[version] * 10) for _ in range(300)]
        own = borrow(samples, version)
        return [index for index, one in enumerate(samples) if any(one is other for other in own)]

    assert choice(3) == choice(3) != choice(4)


def test_a_sample_without_a_loss_token_is_no_witness() -> None:
    samples = [*(sample(VERSION, VERSION, masked=True) for _ in range(50)), *fresh(1)]
    assert borrow(samples, VERSION) == samples[-1:]
    assert borrow(samples[:-1], VERSION) == []


def test_what_another_policy_wrote_or_none_is_computed() -> None:
    stale, mixed, demonstration = sample(2, 2), sample(2, 3), sample()
    own = borrow([stale, mixed, demonstration, *fresh(5)], VERSION)
    assert all(any(one is other for other in own) for one in (stale, mixed, demonstration))
    assert len(own) == 4


def annotated(difference: float) -> list[Sample]:
    """A sample whose fresh tokens differ by so much; stale ones, masked ones and borrowed ones far more."""
    mixed = sample(VERSION, VERSION, 2, VERSION)
    mixed.old_logprobs = mixed.sampler_logprobs + torch.tensor([0.0, difference, 5.0, 5.0])
    mixed.loss_mask[3] = False
    lent = sample(VERSION)
    lent.old_logprobs, lent.old_is_borrowed = lent.sampler_logprobs + 5, True
    return [mixed, lent]


def test_fresh_loss_tokens_that_the_learner_computed_are_compared() -> None:
    samples = annotated(0.25)
    old, sampler = compared(samples, VERSION)
    assert (old - sampler).tolist() == pytest.approx([0.0, 0.25])
    assert [len(part) for part in compared([], VERSION)] == [0, 0]


@pytest.mark.parametrize("difference", [0.02, -0.02, float("nan")])
def test_a_difference_beyond_rounding_stops_the_step_and_names_where_to_look(difference: float) -> None:
    with pytest.raises(SamplerDisagreesError, match=r"differ by (0\.02|nan).*2 tokens.*model\.attention"):
        check(annotated(difference), VERSION)
    assert issubclass(SamplerDisagreesError, UserError)


def test_rounding_does_not_and_an_inexact_sampler_may_differ() -> None:
    check(annotated(0.005), VERSION)
    check([], VERSION)
    check(annotated(1.0), None)

"""Figures of a step that need no run to be seen."""

from __future__ import annotations

import pytest
import torch

from dapo.sampling.sampled import Sampled
from dapo.step_metrics import step_metrics
from dapo.types import Completion, Example, GradedGroup, Prompt, Rollout, Sample, Score


def group(*completions: Completion) -> GradedGroup:
    prompt = Prompt(Example("a", [], "1"), [1], 8)
    return GradedGroup(prompt, [Rollout(one, Score(1.0), 1.0) for one in completions])


def completion(logprobs: list[float], trainable: list[bool]) -> Completion:
    count = len(logprobs)
    return Completion([5] * count, logprobs, [0] * count, trainable, "eos", "")


def metrics(sampled: Sampled, samples: list[Sample]) -> dict[str, float]:
    return step_metrics(sampled, samples, [], {}, version=0)


def test_entropy_is_the_mean_surprise_of_all_tokens_the_policy_wrote() -> None:
    """(0.5 + 1.5 + 4) / 3; what a tool wrote was not drawn."""
    finished = [
        group(completion([-0.5, -9.0], [True, False])),
        group(completion([-1.5], [True]), completion([-4.0], [True])),
    ]
    assert metrics(Sampled(finished=finished), [])["policy/entropy"] == pytest.approx(2.0)
    assert "policy/entropy" not in metrics(Sampled(), [])


def test_mismatch_is_over_what_the_learner_computed() -> None:
    def sample(difference: float, borrowed: bool) -> Sample:
        return Sample(
            prompt_ids=[1],
            completion_ids=[5],
            loss_mask=torch.tensor([True]),
            sampler_logprobs=torch.tensor([-1.0]),
            policy_versions=torch.tensor([0]),
            old_logprobs=torch.tensor([-1.0 + difference]),
            old_is_borrowed=borrowed,
        )

    found = metrics(Sampled(), [sample(0.25, False), sample(0.0, True)])
    assert found["mismatch/mean_abs_logprob_difference"] == pytest.approx(0.25)
    assert "mismatch/kl" not in metrics(Sampled(), [sample(0.0, True)])


@pytest.mark.parametrize(("ticks", "generated", "share"), [(50, 400, 1.0), (50, 100, 0.25), (0, 0, 0.0)])
def test_slot_utilization_is_the_share_of_slot_ticks_that_drew_a_token(
    ticks: int, generated: int, share: float
) -> None:
    """50 ticks of 8 slots could have drawn 400 tokens."""
    sampled = Sampled(ticks=ticks, slots=8)
    sampled.account.add("generated", 3, generated)
    # What other steps drew is not counted.
    sampled.account.add("carried_in", 2, 77)
    found = metrics(sampled, [])
    assert found["sampler/slot_utilization"] == share
    assert found["sampler/ticks"] == ticks


def test_completions_whose_shaping_could_not_be_had_are_counted() -> None:
    scores = [
        Score(1.0, part_errors={"format": "no", "length": "no"}),
        Score(0.0, error="no verdict"),
        Score(1.0, part_errors={"format": "no"}),
        Score(1.0),
    ]
    rollouts = [Rollout(completion([-1.0], [True]), score, 1.0) for score in scores]
    finished = [GradedGroup(Prompt(Example("a", [], "1"), [1], 8), rollouts)]
    found = metrics(Sampled(finished=finished), [])
    assert found["reward/part_errors"] == 2.0

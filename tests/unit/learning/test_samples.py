"""Weights of a step that holds fresh and stale tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dapo.algorithms import PRESETS
from dapo.core.off_policy import ImportanceCorrection, Level
from dapo.learning import samples as rows
from dapo.types import Sample

ROUNDING = 1e-5


def step() -> list[Sample]:
    """One sample of the step's own policy 1, and one whose first token policy 0 wrote."""
    return [
        Sample(
            prompt_ids=[1],
            completion_ids=[2, 3],
            loss_mask=torch.ones(2, dtype=torch.bool),
            sampler_logprobs=torch.tensor([-1.0, -2.0]),
            policy_versions=torch.tensor(versions),
            old_logprobs=torch.tensor([old, -2.0 - ROUNDING]),
        )
        for versions, old in (([1, 1], -1.0 + ROUNDING), ([0, 1], -0.6))
    ]


@pytest.mark.parametrize(
    ("level", "stale"),
    [
        ("token", [torch.tensor(0.4).exp().item(), 1.0]),
        ("sequence", [torch.tensor(0.4).exp().item()] * 2),
        ("sequence_mean", [torch.tensor(0.2).exp().item()] * 2),
    ],
)
def test_fresh_tokens_of_an_exact_sampler_weigh_exactly_1(level: Level, stale: list[float]) -> None:
    algorithm = replace(PRESETS["dapo"], off_policy=ImportanceCorrection(level))
    samples = step()
    rows.set_weights(samples, algorithm, exact_version=1)
    assert samples[0].weights.tolist() == [1.0, 1.0]
    assert samples[1].weights.tolist() == pytest.approx(stale)
    if level == "token":
        assert samples[1].weights[1] == 1.0


def test_those_of_an_inexact_sampler_do_not() -> None:
    samples = step()
    rows.set_weights(samples, PRESETS["dapo"], exact_version=None)
    assert samples[0].weights.tolist() == pytest.approx([1 + ROUNDING, 1 - ROUNDING], abs=1e-7)
    assert samples[0].weights.tolist() != [1.0, 1.0]

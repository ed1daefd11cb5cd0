"""The metrics of a step."""

from __future__ import annotations

import pytest

from dapo.sampling.sampled import Sampled
from dapo.step_metrics import step_metrics


@pytest.mark.parametrize(("ticks", "generated", "share"), [(50, 400, 1.0), (50, 100, 0.25), (0, 0, 0.0)])
def test_slot_utilization_is_the_share_of_slot_ticks_that_drew_a_token(
    ticks: int, generated: int, share: float
) -> None:
    """50 ticks of 8 slots could have drawn 400 tokens."""
    sampled = Sampled(ticks=ticks, slots=8)
    sampled.account.add("generated", 3, generated)
    # What other steps drew is not counted.
    sampled.account.add("carried_in", 2, 77)
    metrics = step_metrics(sampled, [], [], {"sample": 1.0}, 0)
    assert metrics["sampler/slot_utilization"] == share
    assert metrics["sampler/ticks"] == ticks

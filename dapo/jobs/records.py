"""What a step writes to rollouts/: every completion whose fate it decided, kept or dropped."""

from __future__ import annotations

from typing import Any

from dapo.run.rollouts import RolloutLog
from dapo.trainer import Step


def step_records(step: Step, group_size: int) -> list[dict[str, Any]]:
    """One record per completion. A group that is carried is recorded in the step that trains it."""
    advantages = [sample.advantage for sample in step.samples]
    records = []
    for index, group in enumerate(step.sampled.trained):
        own = advantages[index * group_size : (index + 1) * group_size]
        records += RolloutLog.record(group, step=step.number, advantages=own)
    for group in step.sampled.rejected:
        records += RolloutLog.record(group, step=step.number, advantages=None)
    return records

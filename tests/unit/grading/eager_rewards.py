"""Rewards that give a wrong verdict, or do what an answer says. For the check to find out."""

from __future__ import annotations

import subprocess
import time

from dapo.rewards import exact
from dapo.types import Completion, Example


def always(completion: Completion, example: Example) -> bool:
    return True


def obedient(completion: Completion, example: Example) -> bool:
    """Runs what stands behind the marker. The worst of all mistakes, and not a rare one."""
    answer = completion.text.rpartition("Answer:")[2].strip()
    if answer.startswith("$("):
        subprocess.run(answer[2:-1], shell=True)
    return answer == example.answer


def slow_on_numbers(completion: Completion, example: Example) -> bool:
    if "1e9999999999" in completion.text:
        time.sleep(60)
    return exact.Reward()(completion, example).score == 1


def of_groups(completions: list[Completion], example: Example) -> list[float]:
    """Refuses all where one of several is wrong."""
    judge = exact.Reward()
    verdicts = [judge(completion, example).score for completion in completions]
    return [min(verdicts)] * len(verdicts)

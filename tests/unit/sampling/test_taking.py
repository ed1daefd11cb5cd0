"""What a step trains on that found too little, or holds what may not wait."""

from __future__ import annotations

import pytest

from dapo.sampling.entry import Entry
from dapo.sampling.settings import SamplingSettings
from dapo.sampling.taking import split, take_short, with_stale
from dapo.types import Completion, Example, GradedGroup, Prompt, Rollout, Score


def entry(number: int, version: int = 5, kept: bool = True, decided: bool = True) -> Entry:
    prompt = Prompt(Example(str(number), (), ""), (0,), 1, number=number)
    completion = Completion([1, 2], [0.0, 0.0], [version, version + 1], [True, True], "eos", "")
    graded = GradedGroup(prompt, [Rollout(completion, Score(1.0), 1.0)], "signal", kept)
    return Entry(prompt, graded=graded if decided else None)


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.prompt.number for entry in entries]


@pytest.mark.parametrize(
    ("kept", "groups_per_update", "expected"),
    [(7, 4, 4), (8, 4, 8), (3, 4, 3), (0, 4, 0), (9, 4, 8), (5, 1, 5)],
)
def test_a_short_step_trains_on_whole_mini_batches_and_the_rest_waits(
    kept: int, groups_per_update: int, expected: int
) -> None:
    ready = [entry(number) for number in range(kept)]
    settings = SamplingSettings(max_staleness=1)
    assert numbers(take_short(ready, settings, groups_per_update)) == list(range(expected))


@pytest.mark.parametrize(
    "settings", [SamplingSettings(), SamplingSettings(max_staleness=1, on_shortage="complete")]
)
def test_where_nothing_may_wait_all_is_trained(settings: SamplingSettings) -> None:
    ready = [entry(number) for number in range(7)]
    assert numbers(take_short(ready, settings, 4)) == list(range(7))


def test_too_few_groups_wait_and_what_was_rejected_does_not() -> None:
    ready = [entry(0), entry(1, kept=False), entry(2)]
    for min_groups, expected in ((3, [1]), (2, [0, 1, 2])):
        settings = SamplingSettings(max_staleness=1, min_groups=min_groups)
        assert numbers(take_short(ready, settings, 1)) == expected


def test_what_would_be_too_old_is_trained_with_others_to_whole_mini_batches() -> None:
    entries = [entry(0), entry(1), entry(2, version=3), entry(3, decided=False), entry(4), entry(5), entry(6)]
    taken = entries[:2]
    assert numbers(with_stale(taken, entries, oldest=3, groups_per_update=2)) == [0, 1]
    assert numbers(with_stale(taken, entries, oldest=4, groups_per_update=1)) == [0, 1, 2]
    assert numbers(with_stale(taken, entries, oldest=4, groups_per_update=2)) == [0, 1, 2, 4]
    assert numbers(with_stale(taken, entries, oldest=4, groups_per_update=5)) == [0, 1, 2, 4, 5]
    assert numbers(with_stale(taken, entries, oldest=4, groups_per_update=50)) == [0, 1, 2, 4, 5, 6]


def test_splitting_keeps_the_order() -> None:
    entries = [entry(number) for number in range(5)]
    inside, outside = split(entries, [entries[3], entries[1]])
    assert (numbers(inside), numbers(outside)) == ([1, 3], [0, 2, 4])

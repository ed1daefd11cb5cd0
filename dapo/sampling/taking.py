"""Which of the decided groups a step trains on, where it is not simply the first so many."""

from __future__ import annotations

from collections.abc import Sequence

from dapo.sampling.copies import next_multiple
from dapo.sampling.entry import Entry
from dapo.sampling.settings import SamplingSettings


def take_short(ready: Sequence[Entry], settings: SamplingSettings, groups_per_update: int) -> list[Entry]:
    """Of a step that found too little: whole mini-batches where there are any, and the rest waits.

    Where none is whole, or nothing may wait, all there is; below `min_groups`, nothing that is kept.
    """
    kept = [entry for entry in ready if entry.kept]
    if len(kept) < settings.min_groups:
        return [entry for entry in ready if not entry.kept]
    surplus = len(kept) % groups_per_update
    may_wait = settings.max_staleness > 0 and settings.on_shortage == "train_short"
    if surplus == len(kept) or not may_wait:
        return list(ready)
    _, taken = split(ready, kept[len(kept) - surplus :])
    return taken


def with_stale(
    taken: Sequence[Entry], entries: Sequence[Entry], oldest: int, groups_per_update: int
) -> list[Entry]:
    """Besides what was taken, all that would be too old in the next step: drawn before policy `oldest`.

    That happens where more groups were accepted than expected. Others join them to whole mini-batches.
    """
    _, left = split(entries, taken)
    kept = [entry for entry in left if entry.kept]
    stale = [entry for entry in kept if entry.graded and entry.graded.policy_versions[0] < oldest]
    if not stale:
        return list(taken)
    _, others = split(kept, stale)
    count = sum(entry.kept for entry in taken) + len(stale)
    missing = next_multiple(count, groups_per_update) - count
    together, _ = split(entries, [*taken, *stale, *others[:missing]])
    return together


def split(entries: Sequence[Entry], chosen: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The chosen entries and the others, both in the order of admission."""
    numbers = {entry.prompt.number for entry in chosen}
    inside = [entry for entry in entries if entry.prompt.number in numbers]
    return inside, [entry for entry in entries if entry.prompt.number not in numbers]

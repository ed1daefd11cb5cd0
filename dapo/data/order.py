"""In which order a window of prompts is best sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dapo.types import Prompt


def longest_first(prompts: Sequence[Prompt], expected: Callable[[Prompt], float | None]) -> list[Prompt]:
    """The prompts by expected completion tokens, most first, so that no long completion starts last.

    Equal ones keep their order. A prompt for which `expected` returns None stands where the mean of the
    others does. Scheduling the longest first is Graham's LPT rule (1969).
    """
    tokens = [expected(prompt) for prompt in prompts]
    known = [count for count in tokens if count is not None]
    mean = sum(known) / max(1, len(known))
    keys = [mean if count is None else count for count in tokens]
    return [prompts[place] for place in sorted(range(len(prompts)), key=lambda place: -keys[place])]

"""Repeating groups to fill a step (ADS: arXiv 2601.01718, section 3.2 and Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dapo.sampling.settings import CopySettings
from dapo.types import GradedGroup


def copies_to(groups: Sequence[GradedGroup], size: int, settings: CopySettings) -> list[int]:
    """Which groups to train once more, as indices into `groups`, so that there are `size` of them.

    They go round in the order of their pass rates. Fewer come back where every group has been
    repeated as often as the cap allows.
    """
    order = _ORDERS[settings.order]([_pass_rate(group) for group in groups])
    missing = min(size - len(groups), len(groups) * (settings.max_copies - 1))
    return [order[place % len(order)] for place in range(missing)]


def next_multiple(count: int, size: int) -> int:
    """The smallest multiple of `size` that is at least `count`."""
    return -(-count // size) * size


def _pass_rate(group: GradedGroup) -> float:
    return sum(group.scores) / len(group.scores)


def _easiest_first(rates: Sequence[float]) -> list[int]:
    return sorted(range(len(rates)), key=lambda index: -rates[index])


def _hardest_first(rates: Sequence[float]) -> list[int]:
    return sorted(range(len(rates)), key=lambda index: rates[index])


def _center_first(rates: Sequence[float]) -> list[int]:
    """The median, its left and its right neighbour, and so on to the sides."""
    order = _hardest_first(rates)
    middle = len(order) // 2
    return [order[place] for place in sorted(range(len(order)), key=lambda place: abs(place - middle))]


_ORDERS: dict[str, Callable[[Sequence[float]], list[int]]] = {
    "easiest_first": _easiest_first,
    "hardest_first": _hardest_first,
    "center_first": _center_first,
}

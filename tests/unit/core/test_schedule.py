"""Learning-rate schedules."""

from __future__ import annotations

import pytest

from dapo.budget import Budget
from dapo.core.schedule import Kind, Schedule


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 4])
@pytest.mark.parametrize("total", [1, 4, 10])
def test_every_update_of_a_run_trains(kind: Kind, warmup: int, total: int) -> None:
    schedule = Schedule(kind, warmup_updates=warmup)
    factors = [schedule(update, update / total) for update in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_warm_up_ends_at_the_full_rate() -> None:
    schedule = Schedule(warmup_updates=4)
    assert [schedule(update, update / 100) for update in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_warm_up_counts_updates_whatever_the_share_of_the_run() -> None:
    linear = Schedule("linear", warmup_updates=4, minimum=0.2)
    assert linear(1, 0.0) == pytest.approx(0.5)
    assert linear(1, 0.5) == pytest.approx(0.5 * 0.6)
    assert linear(9, 0.5) == pytest.approx(0.6)


def test_linear_and_cosine() -> None:
    """Over the budget of a run, and beyond its end."""
    progress = [Budget(num_steps=4).progress(step, tokens=0) for step in range(6)]
    linear = Schedule("linear", warmup_updates=2, minimum=0.2)
    assert [linear(9, share) for share in progress] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2])
    cosine = Schedule("cosine")
    assert [cosine(9, share) for share in progress] == pytest.approx([1, 0.8535534, 0.5, 0.1464466, 0, 0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "step"}, "kind must be one of"),
        ({"warmup_updates": -1}, "warmup_updates"),
        ({"kind": "linear", "minimum": 2.0}, "minimum must lie in"),
        ({"minimum": 0.1}, "no effect on a constant"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**values)  # type: ignore[arg-type]

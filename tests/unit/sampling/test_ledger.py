"""The prompt ledger skips what taught nothing lately, and gives up on no prompt."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dapo.core.signal import has_signal, signal_probability
from dapo.errors import UserError
from dapo.run.state import load_state, save_state
from dapo.sampling.ledger import Ledger, LedgerSettings
from dapo.types import Example, Prompt

G = 16
ON = LedgerSettings(enabled=True)

counts = st.floats(0.05, 500)


def prompt(name: str, visit: int = 0) -> Prompt:
    return Prompt(Example(name, (), ""), (1,), 8, visit)


def scores(right: int, group_size: int = G) -> list[float]:
    return [1.0] * right + [0.0] * (group_size - right)


def record(ledger: Ledger, name: str, group: Sequence[float], step: int = 0, tokens: float = 5.0) -> None:
    ledger.record(name, group, has_signal(group), step, tokens)


def known(settings: LedgerSettings, **groups: Sequence[float]) -> Ledger:
    """A ledger with one group of each prompt, seen in step 0."""
    ledger = Ledger(settings)
    for name, group in groups.items():
        record(ledger, name, group)
    return ledger


@given(st.integers(0, 40), st.sampled_from([0, 1]))
def test_each_uniform_group_makes_a_signal_less_likely(groups: int, right: int) -> None:
    ledger = Ledger(ON)
    before = [ledger.p_signal("a", G, 0)]
    for _ in range(groups):
        record(ledger, "a", [float(right)] * G)
        before.append(ledger.p_signal("a", G, 0))
    assert before == sorted(before, reverse=True)
    assert ledger.visit_probability("a", G, 0) == (ON.floor if groups else 1.0)


def test_a_prompt_that_gave_a_signal_promises_more_than_an_unknown_one() -> None:
    ledger = known(ON, rare=scores(1), even=scores(8))
    assert ledger.p_signal("unknown", G, 0) < ledger.p_signal("rare", G, 0) < ledger.p_signal("even", G, 0)
    assert ledger.visit_probability("rare", G, 0) == 1


def test_groups_of_one_never_carry_a_signal_and_are_never_skipped() -> None:
    ledger = known(ON, a=[0.0])
    assert ledger.p_signal("a", 1, 0) == 0
    assert ledger.visit_probability("a", 1, 0) == 1


def test_a_small_uniform_group_says_less_than_a_large_one() -> None:
    visits = [
        known(ON, a=[0.0] * group_size).visit_probability("a", group_size, 0) for group_size in (2, 4, 8, 16)
    ]
    assert visits == sorted(visits, reverse=True)
    assert visits[0] > 0.5


# Evidence fades


def test_evidence_counts_half_after_the_half_life() -> None:
    settings = LedgerSettings(half_life_steps=10, prior=1)
    ledger = known(settings, a=scores(12))
    assert ledger.pass_rate("a", 0) == pytest.approx(13 / 18)
    assert ledger.pass_rate("a", 10) == pytest.approx(7 / 10)
    record(ledger, "a", scores(0), step=10)
    assert ledger.pass_rate("a", 10) == pytest.approx(7 / 26)
    assert ledger.pass_rate("a", 20) == pytest.approx(4 / 14)


def test_evidence_can_be_kept_for_ever() -> None:
    ledger = known(LedgerSettings(half_life_steps=math.inf), a=scores(0))
    assert ledger.p_signal("a", G, 10**6) == ledger.p_signal("a", G, 0)


def test_with_the_defaults_a_failed_prompt_returns_as_their_docstring_says() -> None:
    ledger = known(ON, a=scores(0))
    visits = [ledger.visit_probability("a", G, step) for step in (0, 100, 200, 300)]
    assert visits == pytest.approx([0.05, 0.35, 1, 1], abs=0.005)


def test_prompts_that_become_solvable_return_by_the_floor_alone() -> None:
    """Two hundred prompts fail for good reason, then their pass rate is one half. Evidence does not fade."""
    ledger = Ledger(LedgerSettings(enabled=True, half_life_steps=math.inf))
    names = [str(number) for number in range(200)]
    for name in names * 3:
        record(ledger, name, scores(0))
    assert {ledger.visit_probability(name, G, 0) for name in names} == {0.05}
    for visit in range(60):
        for name in names:
            if not ledger.skips(prompt(name, visit), G, visit, seed=0):
                record(ledger, name, scores(8), step=visit)
    returned = sum(ledger.visit_probability(name, G, 60) == 1 for name in names)
    assert returned / len(names) == pytest.approx(1 - 0.95**60, abs=0.04)


@pytest.mark.parametrize("floor", [0.05, 0.2, 1.0])
def test_the_floor_is_the_share_of_visits_to_a_hopeless_prompt(floor: float) -> None:
    ledger = known(LedgerSettings(enabled=True, floor=floor), a=[0.0] * 1000)
    visits = 20_000
    visited = sum(not ledger.skips(prompt("a", visit), G, 0, seed=1) for visit in range(visits))
    assert visited / visits == pytest.approx(floor, abs=4 * math.sqrt(floor * (1 - floor) / visits))


def test_steps_do_not_run_backwards() -> None:
    ledger = known(ON, a=scores(3))
    record(ledger, "a", scores(3), step=7)
    with pytest.raises(ValueError, match=r"'a' was recorded in step 7: step 6 lies before"):
        record(ledger, "a", scores(3), step=6)


# Graded scores


def test_graded_scores_count_groups_with_a_signal() -> None:
    settings = LedgerSettings(enabled=True, prior=0.5)
    ledger = known(settings, a=[0.3, 0.3, 0.3])
    assert ledger.p_signal("a", 3, 0) == pytest.approx(0.5 / 2)
    record(ledger, "a", [0.3, 0.4, 0.3])
    assert ledger.p_signal("a", 3, 0) == pytest.approx(1.5 / 3)
    assert ledger.p_signal("a", 3, 50) == pytest.approx(1 / 2)
    assert ledger.pass_rate("a", 0) == pytest.approx((0.5 + 1.9) / 7)


def test_one_graded_group_is_enough_and_earlier_groups_are_not_forgotten() -> None:
    ledger = known(LedgerSettings(prior=0.5), a=[0.0, 0.0])
    before = ledger.p_signal("a", 2, 0)
    assert before == signal_probability(0.5, 2.5, 2)
    record(ledger, "a", [0.5, 0.5])
    record(ledger, "a", [0.0, 1.0])
    record(ledger, "a", [1.0, 1.0])
    assert ledger.p_signal("a", 2, 0) == pytest.approx(1.5 / 5)


def test_verdicts_within_rounding_are_no_grades() -> None:
    ledger = known(ON, a=[1e-9, 0.0, 1 - 1e-9, 1.0])
    assert ledger.p_signal("a", 4, 0) == pytest.approx(signal_probability(2.2, 2.2, 4))


def test_a_filter_on_something_else_than_the_score_counts_groups_too() -> None:
    """All wrong, but the shaped reward differed: pass rates do not tell whether that happens again."""
    ledger = Ledger(LedgerSettings(prior=0.5))
    ledger.record("a", scores(0), True, 0, 5.0)
    assert ledger.p_signal("a", G, 0) == pytest.approx(1.5 / 2)


def test_graded_prompts_are_skipped_and_revisited_as_well() -> None:
    ledger = known(ON, flat=[0.4] * G, mixed=[0.4, 0.6] * 8)
    assert ledger.visit_probability("flat", G, 0) == 0.05
    assert ledger.visit_probability("flat", G, 500) == 1
    assert ledger.visit_probability("mixed", G, 0) == 1


@pytest.mark.parametrize("group", [[], [0.5, 1.5], [-0.1], [math.nan]])
def test_scores_are_verdicts(group: list[float]) -> None:
    with pytest.raises(ValueError, match="prompt 'a': a group needs scores, all in"):
        Ledger(ON).record("a", group, False, 0, 1.0)


def test_the_expected_length_follows_recent_groups() -> None:
    ledger = Ledger(LedgerSettings(half_life_steps=10))
    assert ledger.expected_tokens("a") is None
    record(ledger, "a", scores(1), step=0, tokens=100)
    assert ledger.expected_tokens("a") == 100
    record(ledger, "a", scores(1), step=10, tokens=400)
    assert ledger.expected_tokens("a") == pytest.approx((50 + 400) / 1.5)


# Draws


def decisions(ledger: Ledger, seed: int = 0, visits: int = 50) -> list[tuple[str, int]]:
    pairs = [(name, visit) for visit in range(visits) for name in "abcdefgh"]
    return [(name, visit) for name, visit in pairs if ledger.skips(prompt(name, visit), G, 60, seed)]


def test_what_is_skipped_depends_on_seed_prompt_and_visit_alone() -> None:
    groups = {name: scores(0) for name in "abcdefgh"}
    backwards = dict(reversed(groups.items()))
    one, other = known(ON, **groups), known(ON, **backwards)
    for name in ("x", "y"):
        record(other, name, scores(4))
    torch.manual_seed(1)
    np.random.seed(1)
    first = decisions(one)
    assert first == decisions(other) == decisions(one)
    assert first != decisions(one, seed=1)
    by_prompt = [[visit for name, visit in first if name == letter] for letter in "abcdefgh"]
    assert len({tuple(visits) for visits in by_prompt}) == 8


def test_a_draw_is_a_hash_of_what_the_visit_is() -> None:
    """Python's own `hash` would change with the interpreter."""
    ledger = known(LedgerSettings(enabled=True, floor=0.5), a=scores(0))
    for visit in range(50):
        digest = hashlib.blake2b(f"7\x1fledger\x1fa\x1f{visit}".encode(), digest_size=8).digest()
        upper_half = digest[-1] >= 128
        assert ledger.skips(prompt("a", visit), G, 0, seed=7) == upper_half


def test_a_larger_floor_visits_whatever_a_smaller_one_does() -> None:
    few, many = (known(LedgerSettings(enabled=True, floor=floor), a=[0.0] * 1000) for floor in (0.05, 0.3))
    for visit in range(500):
        if many.skips(prompt("a", visit), G, 0, 0):
            assert few.skips(prompt("a", visit), G, 0, 0)


def test_unknown_prompts_are_visited_and_a_ledger_that_is_off_skips_none() -> None:
    unknown, off = Ledger(ON), known(LedgerSettings(), a=scores(0))
    assert not any(unknown.skips(prompt(str(number)), G, 0, 0) for number in range(500))
    assert not any(off.skips(prompt("a", visit), G, 0, 0) for visit in range(500))


# Metrics


def test_metrics_show_what_is_known_and_what_is_skipped() -> None:
    ledger = known(LedgerSettings(enabled=True, prior=1), a=scores(0), b=scores(8))
    hopeless = ledger.visit_probability("a", G, 0)
    assert ledger.metrics(G, 0) == pytest.approx(
        {
            "ledger/prompts": 2,
            "ledger/skipped_total": 0,
            "ledger/pass_rate": (1 / 18 + 9 / 18) / 2,
            "ledger/skip_share": (1 - hopeless) / 2,
        }
    )
    assert Ledger(ON).metrics(G, 0) == {"ledger/prompts": 0, "ledger/skipped_total": 0}


def test_a_step_shows_the_pass_rates_with_and_without_the_ledger() -> None:
    ledger = known(LedgerSettings(enabled=True, prior=1), a=scores(0), b=scores(8))
    skipped = sum(ledger.skips(prompt(name, visit), G, 0, 0) for visit in range(100) for name in "abc")
    visited_a = 100 - skipped
    assert 0 < visited_a < 100
    assert ledger.take_step_metrics() == pytest.approx(
        {
            "ledger/visited": 200 + visited_a,
            "ledger/skipped": skipped,
            "ledger/visited_pass_rate": (50 + visited_a / 18) / (100 + visited_a),
            "ledger/skipped_pass_rate": 1 / 18,
            "ledger/met_pass_rate": (50 + 100 / 18) / 200,
        }
    )
    assert ledger.take_step_metrics() == {"ledger/visited": 0, "ledger/skipped": 0}
    assert ledger.metrics(G, 0)["ledger/skipped_total"] == skipped


# State


def test_a_restored_ledger_goes_on_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def use(ledger: Ledger, rounds: range, rng: np.random.Generator) -> list[Any]:
        seen: list[Any] = []
        for step in rounds:
            for number in range(40):
                if ledger.skips(prompt(f"näme {number}", step), G, step, 0):
                    seen.append((step, number))
                else:
                    group = rng.random(G) if number % 5 == 0 else rng.random(G) < number / 200
                    record(ledger, f"näme {number}", group.astype(float).tolist(), step, 100 * rng.random())
        return [*seen, ledger.metrics(G, rounds.stop), ledger.take_step_metrics()]

    ledger = Ledger(ON)
    use(ledger, range(10), rng)
    ledger.skips(prompt("näme 1", 10), G, 10, 0)  # A prompt met before the boundary counts after it.
    save_state(tmp_path, *ledger.state_dict())
    restored = known(ON, other=scores(1))
    restored.load_state_dict(*load_state(tmp_path))

    twin = np.random.default_rng(3)
    twin.bit_generator.state = rng.bit_generator.state
    assert use(ledger, range(10, 30), rng) == use(restored, range(10, 30), twin)
    assert _plain(ledger) == _plain(restored)
    assert [ledger.expected_tokens(f"näme {n}") for n in range(40)] == [
        restored.expected_tokens(f"näme {n}") for n in range(40)
    ]


def _plain(ledger: Ledger) -> Any:
    tensors, values = ledger.state_dict()
    return {name: tensor.tolist() for name, tensor in tensors.items()}, json.dumps(values)


def test_an_empty_ledger_can_be_saved(tmp_path: Path) -> None:
    save_state(tmp_path, *Ledger(ON).state_dict())
    ledger = known(ON, a=scores(0))
    ledger.load_state_dict(*load_state(tmp_path))
    assert ledger.metrics(G, 0)["ledger/prompts"] == 0


def test_a_state_whose_columns_do_not_fit_is_refused() -> None:
    tensors, values = known(ON, a=scores(0), b=scores(1)).state_dict()
    tensors["passes"] = tensors["passes"][:1]
    del tensors["graded"]
    with pytest.raises(UserError, match="lists 2 prompts, which its columns passes, graded do not match"):
        Ledger(ON).load_state_dict(tensors, values)


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"floor": 0.04},
        {"floor": 1.1},
        {"half_life_steps": 0},
        {"half_life_steps": math.nan},
        {"threshold": 0},
        {"threshold": 1.01},
        {"prior": 0},
        {"prior": math.inf},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} must"):
        LedgerSettings(**wrong)  # type: ignore[arg-type]


# What it saves

POPULATIONS = {
    "u_shaped": (0.25, 0.25, 0.51, 0.75),
    "hard": (0.13, 1.0, 0.34, 0.60),
    "easy": (0.5, 0.13, 0.39, 0.65),
}
"""Beta distribution of fixed pass rates, their mean P(signal) at G = 16, groups generated per group trained
to reach with the ledger, as a share of those without it."""


def visits(size: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Prompts and visits, epoch by epoch without replacement."""
    for epoch in count():
        yield from ((number, epoch) for number in rng.permutation(size).tolist())


def generated_per_trained(
    rates: list[float], wanted: int, settings: LedgerSettings, steps: int = 60
) -> float:
    rng, ledger = np.random.default_rng(0), Ledger(settings)
    stream, generated = visits(len(rates), rng), 0
    for step in range(steps):
        trained = 0
        while trained < wanted:
            number, visit = next(stream)
            if ledger.skips(prompt(str(number), visit), G, step, seed=0):
                continue
            group = scores(int(rng.binomial(G, rates[number])))
            record(ledger, str(number), group, step)
            generated += 1
            trained += has_signal(group)
    return generated / (steps * wanted)


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_defaults_save_what_they_promise(name: str) -> None:
    """17,000 prompts and 512 groups per step, both divided by five."""
    right, wrong, p_signal, target = POPULATIONS[name]
    rates = np.random.default_rng(1).beta(right, wrong, 3400)
    assert np.mean(1 - rates**G - (1 - rates) ** G) == pytest.approx(p_signal, abs=0.03)
    plain = generated_per_trained(rates.tolist(), 102, LedgerSettings())
    ledger = generated_per_trained(rates.tolist(), 102, ON)
    assert ledger / plain <= target

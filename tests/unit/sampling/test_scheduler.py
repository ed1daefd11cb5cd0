"""Dynamic sampling on simulated prompts: what is admitted, accepted, carried, and what becomes of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dapo.data.stream import PromptStream
from dapo.sampling.ledger import Ledger, LedgerSettings
from dapo.sampling.prompts import PromptQueue
from dapo.sampling.sampled import Sampled
from dapo.sampling.scheduler import DynamicSampler
from dapo.sampling.settings import CopySettings, SamplingSettings
from dapo.sampling.simulation import (
    Lengths,
    SimulatedSampler,
    equal_lengths,
    grade,
    population,
)
from dapo.sampling.verdicts import Grading
from dapo.types import GradedGroup, Group, Prompt

G = 4


def rates(count: int, seed: int = 0) -> dict[str, float]:
    drawn = np.random.default_rng(seed).beta(0.4, 0.4, count)
    return {str(index): float(rate) for index, rate in enumerate(drawn)}


def random_lengths(source: np.random.Generator, right: Any) -> Any:
    return source.integers(1, 40, len(right))


class Loop:
    """A trainer without a learner."""

    def __init__(
        self,
        settings: SamplingSettings | None = None,
        *,
        policy: Any = "refill",
        pass_rates: dict[str, float] | None = None,
        lengths: Lengths = random_lengths,
        slots: int = 64,
        prompts_per_step: int = 8,
        groups_per_update: int = 4,
        grader: Any = grade,
    ) -> None:
        self.settings = settings or SamplingSettings()
        self.machine = SimulatedSampler(G, slots, lengths)
        self.stream = PromptStream(population(pass_rates or rates(50)), seed=0)
        self.sampler = DynamicSampler(
            stream=self.stream,
            grading=Grading(grader, self.settings.verdict_delay),
            settings=self.settings,
            policy=policy,
            prompts_per_step=prompts_per_step,
            group_size=G,
            groups_per_update=groups_per_update,
            seed=0,
        )
        self.step = 0

    def run(self) -> Sampled:
        sampled = self.sampler.collect(
            lambda work: self.machine.generate(work, self.step), step=self.step, version=self.step
        )
        self.step += 1
        return sampled


def numbers(groups: list[GradedGroup]) -> list[int]:
    return [group.prompt.number for group in groups]


def outcomes(sampled: Sampled) -> Any:
    """All that a step decided, as plain data."""
    return [
        [(g.prompt.number, g.prompt.example.id, g.prompt.visit, g.scores, g.policy_versions) for g in groups]
        for groups in (sampled.trained, sampled.rejected)
    ] + [sampled.account.state(), sampled.copies, sampled.ticks, sampled.skipped]


@pytest.mark.parametrize("staleness", [0, 1, 2])
@pytest.mark.parametrize("policy", ["refill", "complete", "off"])
@pytest.mark.parametrize("slots", [G, 24, 512])
def test_no_group_and_no_token_is_lost_or_counted_twice(staleness: int, policy: str, slots: int) -> None:
    loop = Loop(SamplingSettings(max_staleness=staleness), policy=policy, slots=slots)
    seen: dict[int, str] = {}
    carried = (0, 0)
    for _ in range(12):
        sampled = loop.run()  # which checks its account
        for fate, groups in (("trained", sampled.trained), ("rejected", sampled.rejected)):
            for group in groups:
                assert group.prompt.number not in seen
                seen[group.prompt.number] = fate
        account = sampled.account
        assert (account.groups["carried_in"], account.tokens["carried_in"]) == carried
        carried = (account.groups["carried_out"], account.tokens["carried_out"])
    outstanding = {entry.prompt.number for entry in loop.sampler.entries}
    assert outstanding | seen.keys() == set(range(loop.sampler.prompts.admitted))
    if staleness == 0:
        assert not outstanding


def test_a_step_trains_on_the_first_groups_that_carry_a_signal_in_the_order_of_admission() -> None:
    loop = Loop(SamplingSettings(max_staleness=1))
    trained, rejected = [], set()
    for _ in range(10):
        sampled = loop.run()
        assert len(sampled.trained) == 8
        assert all(len(set(group.scores)) > 1 for group in sampled.trained)
        assert all(len(set(group.scores)) == 1 for group in sampled.rejected)
        trained += numbers(sampled.trained)
        rejected |= set(numbers(sampled.rejected))
    assert trained == sorted(trained)
    # Whatever was admitted before the last trained group was trained or had no signal.
    assert set(range(trained[-1] + 1)) - set(trained) <= rejected


def test_short_completions_gain_nothing_by_ending_early() -> None:
    """Half of the prompts are answered in 2 tokens, half in 60: both are trained equally often."""
    pass_rates = {f"{kind}{index}": 0.5 for index in range(40) for kind in ("short", "long")}

    loop = Loop(pass_rates=pass_rates, slots=24, prompts_per_step=8)
    loop.machine.outcomes = _by_name  # type: ignore[method-assign]
    loop.machine.forget = lambda prompt: None  # type: ignore[method-assign]
    trained, finished = [], []
    for _ in range(40):
        sampled = loop.run()
        trained += [group.prompt.example.id.startswith("short") for group in sampled.trained]
        finished += [group.prompt.example.id.startswith("short") for group in sampled.finished]
    assert np.mean(trained) == pytest.approx(0.5, abs=0.02)
    assert np.mean(trained) == pytest.approx(float(np.mean(finished)), abs=0.03)


def _by_name(prompt: Prompt) -> list[tuple[str, int]]:
    tokens = 2 if prompt.example.id.startswith("short") else 60
    return [(answer, tokens) for answer in ("right", "wrong") * (G // 2)]


def test_nothing_is_older_than_max_staleness() -> None:
    def tail(source: np.random.Generator, right: Any) -> Any:
        return np.minimum(400, np.ceil(source.lognormal(2.5, 1.2, len(right)))).astype(int)

    for staleness in (0, 1, 2):
        loop = Loop(SamplingSettings(max_staleness=staleness), lengths=tail, slots=128)
        ages, aborted = set(), 0
        for step in range(25):
            sampled = loop.run()
            ages |= {step - version for group in sampled.trained for version in group.policy_versions}
            aborted += sampled.account.tokens["aborted"]
        assert max(ages) == staleness


def test_a_completion_that_grew_too_old_is_started_again() -> None:
    """With settings made stricter, what is in flight from long ago begins anew, and is not dropped."""
    loop = Loop(SamplingSettings(max_staleness=2), slots=48)
    loop.run()
    in_flight = [entry for entry in loop.sampler.entries if entry.in_flight is not None]
    tokens = sum(entry.tokens for entry in in_flight)
    assert tokens
    loop.sampler.settings = replace(loop.settings, max_staleness=1)
    loop.step += 2
    sampled = loop.run()
    assert sampled.account.tokens["aborted"] == tokens
    done = {*numbers(sampled.trained), *numbers(sampled.rejected)}
    waiting = {entry.prompt.number for entry in loop.sampler.entries}
    assert {entry.prompt.number for entry in in_flight} <= done | waiting
    restarted = {entry.prompt.number for entry in in_flight}
    for group in sampled.finished:
        if group.prompt.number in restarted:
            assert group.policy_versions == [3]


def test_on_policy_sampling_admits_no_group_too_many() -> None:
    loop = Loop(SamplingSettings(max_staleness=0))
    for step in range(10):
        sampled = loop.run()
        assert len(sampled.trained) == 8
        assert not loop.sampler.entries
        assert {v for group in sampled.trained for v in group.policy_versions} == {step}


def test_on_policy_sampling_with_small_mini_batches_trains_on_its_surplus() -> None:
    """More in flight, fewer ticks; still whole mini-batches, and nothing waits."""
    ticks = {}
    for groups_per_update in (2, 16):
        loop = Loop(
            SamplingSettings(max_staleness=0),
            pass_rates=rates(200),
            slots=512,
            prompts_per_step=16,
            groups_per_update=groups_per_update,
        )
        sizes = []
        ticks[groups_per_update] = 0
        for step in range(20):
            sampled = loop.run()
            sizes.append(len(sampled.trained))
            ticks[groups_per_update] += sampled.ticks
            assert not loop.sampler.entries
            assert {v for group in sampled.trained for v in group.policy_versions} == {step}
        assert all(size >= 16 and size % groups_per_update == 0 for size in sizes)
        assert (max(sizes) > 16) == (groups_per_update == 2)
        assert np.mean(sizes) < 20
    assert ticks[2] < 0.9 * ticks[16]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_run_is_a_function_of_its_seed_whatever_the_speed_of_the_grader(data: Any) -> None:
    delay = data.draw(st.integers(0, 12))
    staleness = data.draw(st.integers(0, 2))
    slots = data.draw(st.sampled_from([G, 16, 40, 512]))
    pauses = data.draw(st.lists(st.floats(0, 0.002), min_size=1, max_size=5))
    calls = iter(range(10**6))

    def slow(group: Group) -> GradedGroup:
        time.sleep(pauses[next(calls) % len(pauses)])
        return grade(group)

    sampling = SamplingSettings(max_staleness=staleness, verdict_delay=delay)
    fast, late = Loop(sampling, slots=slots), Loop(sampling, slots=slots, grader=slow)
    for _ in range(4):
        assert outcomes(fast.run()) == outcomes(late.run())


@pytest.mark.parametrize("policy", ["refill", "complete", "off"])
def test_the_state_resumes_to_the_same_steps(policy: str) -> None:
    sampling = SamplingSettings(max_staleness=1, ledger=LedgerSettings(enabled=True), longest_first=True)
    undisturbed = Loop(sampling, policy=policy, slots=40)
    expected = [outcomes(undisturbed.run()) for _ in range(8)]
    for stop in (0, 1, 3, 5):
        first = Loop(sampling, policy=policy, slots=40)
        for _ in range(stop):
            first.run()
        tensors, values = first.sampler.state()
        stream = first.stream.state_dict()
        first.run()  # what happens after the state was taken must not reach it
        second = Loop(sampling, policy=policy, slots=40)
        second.stream.load_state_dict(stream)
        second.sampler.load_state(tensors, json.loads(json.dumps(values)))
        second.step = stop
        assert [outcomes(second.run()) for _ in range(8 - stop)] == expected[stop:]


def test_the_first_guess_of_a_length_is_the_row_s_own() -> None:
    """Expected are 1 token of a, 9 of b, nothing of c, which stands at their mean; b took a half."""
    guesses = {"a": 1.0, "b": 9.0, "c": None}
    prompts = [
        replace(prompt, expected_completion_tokens=guesses[prompt.example.id])
        for prompt in population(dict.fromkeys(guesses, 0.5))
    ]
    ledger = Ledger(LedgerSettings())
    queue = PromptQueue(PromptStream(prompts, seed=0), ledger, G, seed=0, longest=True)
    drawn = [queue.pull(0, lambda: 3).example.id for _ in range(3)]
    ledger.record("b", [0.0, 1.0], signal=True, step=0, mean_tokens=0.5)
    later = [queue.pull(0, lambda: 3).example.id for _ in range(3)]
    assert (drawn, later) == (["b", "c", "a"], ["a", "c", "b"])


@pytest.mark.parametrize("staleness", [0, 1])
def test_how_many_are_in_flight_follows_the_share_that_is_accepted(staleness: int) -> None:
    hard = {str(index): 0.5 if index % 10 == 0 else 0.0 for index in range(500)}
    sampling = SamplingSettings(max_rounds=0, max_staleness=staleness)
    loop = Loop(sampling, pass_rates=hard, slots=10_000, lengths=equal_lengths(10))
    most = []
    for _ in range(6):
        watched: list[Any] = []
        peaks: list[int] = []

        def generate(work: Any, watched: list[Any] = watched) -> Any:
            watched.append(loop.machine.generate(work, loop.step))
            return watched[0]

        def progress(*counts: int, watched: list[Any] = watched, peaks: list[int] = peaks) -> None:
            peaks.append(watched[0].in_flight)

        loop.sampler.collect(generate, loop.step, loop.step, progress)
        loop.step += 1
        most.append(max(peaks, default=0))
    assert most[0] >= 8
    assert 24 <= max(most[3:]) <= 160, most  # 8 wanted, about every twelfth accepted


def test_the_ledger_saves_groups_and_keeps_visiting() -> None:
    used: dict[bool, int] = {}
    for enabled in (False, True):
        loop = Loop(SamplingSettings(ledger=LedgerSettings(enabled=enabled)), pass_rates=rates(60))
        account = [loop.run() for _ in range(60)]
        used[enabled] = sum(step.account.groups["generated"] for step in account)
        assert sum(step.skipped for step in account) > 0 if enabled else True
    assert used[True] < 0.85 * used[False]


def test_complete_repeats_the_easiest_groups_to_whole_mini_batches() -> None:
    loop = Loop(SamplingSettings(max_staleness=0), policy="complete", prompts_per_step=10)
    for _ in range(10):
        sampled = loop.run()
        kept = len(sampled.trained)
        assert sampled.account.groups["generated"] == 10
        assert kept + len(sampled.rejected) == 10
        assert (kept + len(sampled.copies)) % 4 == 0 or len(sampled.copies) == 2 * kept
        by_rate = sorted(range(kept), key=lambda i: -sum(sampled.trained[i].scores))
        assert sampled.copies == [by_rate[i % kept] for i in range(len(sampled.copies))]


def test_complete_generates_again_where_a_whole_step_has_no_signal() -> None:
    rare = {str(index): 0.5 if index == 0 else 1.0 for index in range(100)}
    loop = Loop(SamplingSettings(max_rounds=0, max_staleness=0), policy="complete", pass_rates=rare)
    sampled = loop.run()
    assert len(sampled.trained) >= 1
    assert sampled.account.groups["generated"] % 8 == 0
    assert sampled.account.groups["all_right"] > 8


def test_off_trains_on_every_group() -> None:
    loop = Loop(policy="off")
    sampled = loop.run()
    assert len(sampled.trained) == 8
    assert not sampled.rejected
    assert {group.verdict for group in sampled.trained} > {"signal"}


RARE = {str(index): 0.5 if index % 50 == 0 else float(index % 2) for index in range(1000)}


class TestShortage:
    """2 % of the prompts carry a signal."""

    def loop(self, staleness: int = 1, **changes: Any) -> Loop:
        sampling = SamplingSettings(max_staleness=staleness, max_rounds=10, **changes)
        return Loop(sampling, pass_rates=RARE, slots=10_000, lengths=equal_lengths(5))

    @pytest.mark.parametrize("staleness", [0, 1])
    def test_train_short_goes_on_with_what_there_is(self, staleness: int) -> None:
        loop = self.loop(staleness)
        steps = [loop.run() for _ in range(30)]
        assert all(step.short and not step.ends_run for step in steps)
        assert all(step.account.groups["generated"] <= 80 for step in steps)
        trained = sum(len(step.trained) for step in steps)
        accepted = sum(g.kept for step in steps for g in step.finished)
        assert trained + len([e for e in loop.sampler.entries if e.kept]) == accepted
        assert trained > 20

    def test_few_groups_wait_for_the_next_step(self) -> None:
        loop = self.loop(min_groups=4)
        sizes = [len(loop.run().trained) for _ in range(30)]
        assert 0 in sizes
        assert max(sizes) >= 4

    def test_keep_sampling_fills_every_step(self) -> None:
        loop = self.loop(on_shortage="keep_sampling")
        assert [len(loop.run().trained) for _ in range(5)] == [8] * 5

    def test_complete_repeats_what_there_is(self) -> None:
        loop = self.loop(on_shortage="complete", copies=CopySettings(max_copies=4))
        for _ in range(10):
            sampled = loop.run()
            kept = len(sampled.trained)
            assert len(sampled.copies) == min(-kept % 4, 3 * kept)

    def test_stop_ends_the_run_after_training_on_what_there_is(self) -> None:
        sampled = self.loop(on_shortage="stop").run()
        assert sampled.ends_run
        assert sampled.trained

    def test_data_without_any_signal_ends_the_step_and_not_the_run(self) -> None:
        loop = Loop(pass_rates={str(index): 1.0 for index in range(20)})
        for _ in range(3):
            sampled = loop.run()
            assert not sampled.trained
            assert sampled.short


def test_an_abandoned_step_leaves_the_saved_state_alone() -> None:
    loop = Loop()
    loop.run()
    tensors, values = loop.sampler.state()
    saved = json.dumps(values), {name: tensor.clone() for name, tensor in tensors.items()}

    class Stopped(Exception):
        pass

    ticks = iter(range(10**6))

    def check() -> None:
        if next(ticks) == 20:
            raise Stopped

    with pytest.raises(Stopped):
        loop.sampler.collect(lambda work: loop.machine.generate(work, 1), step=1, version=1, check=check)
    assert json.dumps(values) == saved[0]
    assert all(bool((tensors[name] == tensor).all()) for name, tensor in saved[1].items())


def test_what_grading_raises_reaches_the_run() -> None:
    def broken(group: Group) -> GradedGroup:
        raise RuntimeError("no verdict")

    with pytest.raises(RuntimeError, match="no verdict"):
        Loop(grader=broken).run()

"""Why completions end: end tokens, stop strings, loops, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dapo.engine.rows import Flight, Rows
from dapo.engine.stops import Stops, loops
from dapo.types import Completion, FinishReason, Group, RepetitionStop, SamplingParams
from tests.unit.engine import tiny

YUAN = RepetitionStop()
CODEC = tiny.codec()
EOS = CODEC.eos_id
DIGIT = CODEC.encode_completion("0")[0]


def end_of(
    tokens: Sequence[int], params: SamplingParams, limit: int = 10_000, begun: int = 0
) -> tuple[int, FinishReason] | None:
    """After how many of these tokens a completion ends, and why. `begun` are from a generation before."""
    completion = Completion(list(tokens[:begun]), [0.0] * begun, [0] * begun, [True] * begun, None, "")
    prompt = replace(tiny.prompts([1])[0], max_completion_tokens=limit)
    rows, stops = Rows(1), Stops(CODEC, params)
    rows.add([Flight(Group(prompt, [completion]), completion, 0)])
    for place in range(begun, len(tokens)):
        token = np.array(tokens[place : place + 1])
        rows.append(token, np.zeros(1, dtype=np.float32))
        reasons = stops.ended(rows, token)
        if reasons:
            return place + 1, reasons[0]
    return None


def loop(period: int, count: int) -> list[int]:
    return list(islice(cycle(range(100, 100 + period)), count))


def naive_loops(ids: Sequence[int], stop: RepetitionStop) -> bool:
    grams = [tuple(ids[start : start + stop.ngram]) for start in range(len(ids) - stop.ngram + 1)]
    return any(grams.count(gram) >= stop.times for gram in grams)


@given(
    st.lists(st.integers(0, 2), max_size=30),
    st.builds(RepetitionStop, every=st.just(1), ngram=st.integers(1, 6), times=st.integers(2, 6)),
)
@example([7, 7, 7, 7], RepetitionStop(every=1, ngram=2, times=3))
@example([7, 7, 7, 7], RepetitionStop(every=1, ngram=2, times=4))
def test_a_loop_is_an_n_gram_that_stands_there_so_often(ids: list[int], stop: RepetitionStop) -> None:
    assert loops(ids, stop) == naive_loops(ids, stop)


@pytest.mark.parametrize(
    ("period", "end"),
    [
        (1, 1024),  # 209 tokens hold ten 200-grams
        (91, 1024),  # 1019
        (92, 2048),  # 1028
        (205, 2048),  # 2045
        (206, 3072),  # 2054
    ],
)
def test_yuans_loops_end_at_the_first_1024_tokens_that_hold_ten_200_grams(period: int, end: int) -> None:
    """A loop of p tokens holds a 200-gram for the tenth time when it is 200 + 9 p tokens long."""
    assert (YUAN.every, YUAN.ngram, YUAN.times) == (1024, 200, 10)
    shortest = 200 + 9 * period
    assert loops(loop(period, shortest), YUAN)
    assert not loops(loop(period, shortest - 1), YUAN)
    assert end_of(loop(period, 4096), SamplingParams(repetition=YUAN)) == (end, "repetition")


def test_what_does_not_go_round_goes_on() -> None:
    rising = list(range(100, 4196))
    assert end_of(rising, SamplingParams(repetition=YUAN)) is None
    assert end_of(loop(5, 4096), SamplingParams()) is None


@pytest.mark.parametrize("begun", [1, 5, 7, 8, 9, 11])
def test_tokens_from_before_a_hand_back_count_in_a_loop(begun: int) -> None:
    """Every 4 tokens, 2-grams, 5 times: a loop of two tokens has 2 + 4 x 2 = 10, so it ends at 12."""
    params = SamplingParams(repetition=RepetitionStop(every=4, ngram=2, times=5))
    assert end_of(loop(2, 40), params) == (12, "repetition")
    assert end_of(loop(2, 40), params, begun=begun) == (12, "repetition")


def test_reasons_have_an_order() -> None:
    """An end token goes before a stop string, this before a loop, this before the limit."""
    looping = SamplingParams(repetition=RepetitionStop(every=4, ngram=1, times=3))
    stopping = replace(looping, stop=("000",))
    assert end_of([DIGIT] * 4, SamplingParams(), limit=4) == (4, "length")
    assert end_of([DIGIT] * 4, looping, limit=4) == (4, "repetition")
    assert end_of([5, *[DIGIT] * 3], stopping, limit=4) == (4, "stop")
    ending = SamplingParams(repetition=RepetitionStop(every=3, ngram=1, times=2))
    assert end_of([DIGIT, DIGIT, EOS], ending, limit=3) == (3, "eos")


def test_an_end_token_goes_before_a_stop_string_that_its_text_completes() -> None:
    """A codec may write end tokens out."""
    codec = tiny.codec()
    codec.eos_ids = frozenset([DIGIT])
    prompt = tiny.prompts([9])[0]
    completion = Completion([], [], [], [], None, "")
    rows = Rows(1)
    rows.add([Flight(Group(prompt, [completion]), completion, 0)])
    rows.append(np.array([DIGIT]), np.zeros(1, dtype=np.float32))
    stops = Stops(codec, SamplingParams(stop=("0",)))
    assert stops.ended(rows, np.array([DIGIT])) == {0: "eos"}


@pytest.mark.parametrize("begun", [0, 2, 3])
def test_a_stop_string_may_begin_before_a_hand_back(begun: int) -> None:
    tokens = CODEC.encode_completion("1+2=3?")
    assert end_of(tokens, SamplingParams(stop=("2=3",)), begun=begun) == (5, "stop")


def test_a_sampled_loop_ends_as_repetition_and_keeps_its_tokens() -> None:
    """At temperature 0 a tiny model goes round soon."""
    model, prompts = tiny.model(), tiny.prompts([60, 60, 60])
    params = SamplingParams(temperature=0, repetition=RepetitionStop(every=8, ngram=3, times=4))
    sampler = tiny.sampler(model, 2)
    sampler.codec.eos_ids = frozenset()
    free = tiny.tokens_of(list(sampler.generate(iter(prompts), replace(params, repetition=None))))
    groups = list(sampler.generate(iter(prompts), params))
    assert {group.completions[0].finish_reason for group in groups} >= {"repetition"}
    for group in groups:
        (completion,) = group.completions
        assert completion.token_ids == free[group.prompt.example.id][0][: len(completion)]
        assert completion.text == sampler.codec.decode(completion.token_ids)
        assert not completion.truncated or len(completion) == 60
        if completion.finish_reason == "repetition":
            assert len(completion) % 8 == 0
            assert naive_loops(completion.token_ids, params.repetition or YUAN)
            assert not naive_loops(completion.token_ids[:-8], params.repetition or YUAN)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"every": 0}, "every and ngram are lengths in tokens"),
        ({"ngram": 0}, "every and ngram are lengths in tokens"),
        ({"times": 1}, "times must be at least 2"),
    ],
)
def test_a_stop_that_would_end_everything_is_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RepetitionStop(**setting)

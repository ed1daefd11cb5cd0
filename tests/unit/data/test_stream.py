from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dapo.data.repeat import endlessly
from dapo.data.stream import PromptStream
from dapo.errors import UserError
from dapo.types import Example, Prompt


def make_prompts(count: int) -> list[Prompt]:
    return [Prompt(Example(str(place), [], ""), [place], 8) for place in range(count)]


def tokens(prompts: list[Prompt]) -> list[int]:
    return [prompt.token_ids[0] for prompt in prompts]


@given(count=st.integers(1, 12), seed=st.integers(0, 2**64), epochs=st.integers(1, 3))
def test_each_epoch_is_a_permutation(count: int, seed: int, epochs: int) -> None:
    stream = PromptStream(make_prompts(count), seed)
    for epoch in range(epochs):
        assert stream.epoch == epoch
        handed_out = list(islice(stream, count))
        assert sorted(tokens(handed_out)) == list(range(count))
        assert {prompt.visit for prompt in handed_out} == {epoch}
        assert [prompt.number for prompt in handed_out] == list(range(epoch * count, (epoch + 1) * count))


@given(count=st.integers(1, 8), seed=st.integers(0, 9), shuffle=st.booleans(), place=st.integers(0, 30))
def test_a_resumed_stream_goes_on_as_the_undisturbed_one(
    count: int, seed: int, shuffle: bool, place: int
) -> None:
    stream = PromptStream(make_prompts(count), seed, shuffle)
    list(islice(stream, place))
    state = stream.state_dict()
    assert state["number"] == place
    assert all(type(value) is int for value in state.values())
    resumed = PromptStream(make_prompts(count), seed, shuffle)
    list(islice(resumed, 5))
    resumed.load_state_dict(state)
    assert resumed.epoch == stream.epoch
    assert list(islice(resumed, 20)) == list(islice(stream, 20))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    expected = [np.random.default_rng((7, epoch)).permutation(5).tolist() for epoch in (0, 1)]
    assert tokens(list(islice(PromptStream(make_prompts(5), seed=7), 10))) == expected[0] + expected[1]
    assert tokens(list(islice(PromptStream(make_prompts(3), seed=7, shuffle=False), 6))) == [0, 1, 2, 0, 1, 2]


def test_epochs_and_seeds_differ() -> None:
    prompts = make_prompts(50)
    stream = PromptStream(prompts, seed=1)
    first, second = tokens(list(islice(stream, 50))), tokens(list(islice(stream, 50)))
    assert first != second
    assert first != tokens(list(islice(PromptStream(prompts, seed=2), 50)))


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0, "position": 7, "number": 7},
        {"epoch": 1, "position": 2, "number": 9},
        {"epoch": -1, "position": 0, "number": -5},
    ],
)
def test_a_place_in_other_data_is_refused(state: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"does not fit 5 prompts: resume with the data, .* of the saved run"):
        PromptStream(make_prompts(5), seed=0).load_state_dict(state)


def test_streams_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        PromptStream([], seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        PromptStream(make_prompts(1), seed=-1)


def test_demonstrations_repeat_in_new_orders() -> None:
    items = list(range(20))
    passes = [list(islice(source, 20)) for source in [endlessly(items)] for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == items
    assert passes[0] != passes[1]
    assert list(islice(endlessly(items), 40)) == passes[0] + passes[1]

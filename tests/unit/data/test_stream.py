from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dapo.data.mixing import MixSettings
from dapo.data.repeat import endlessly
from dapo.data.source import Source
from dapo.data.stream import PromptStream
from dapo.errors import UserError
from dapo.types import Example, Prompt


def make_prompts(count: int) -> list[Prompt]:
    return [Prompt(Example(str(place), [], ""), [place], 8) for place in range(count)]


def make_sources(*sizes: int, weights: tuple[float, ...] = ()) -> list[Source]:
    """Sources named 0, 1, ..., whose prompts are called 0/0, 0/1, ..."""
    return [
        Source(
            str(source),
            [Prompt(Example(f"{source}/{place}", [], ""), [source, place], 8) for place in range(size)],
            weights[source] if weights else 1.0,
        )
        for source, size in enumerate(sizes)
    ]


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


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    mixing=st.builds(
        MixSettings, pattern=st.sampled_from([(), ("0", "0", "1", "2", "0")]), block=st.integers(1, 5)
    ),
    seed=st.integers(0, 9),
    shuffle=st.booleans(),
    place=st.integers(0, 40),
)
def test_a_resumed_stream_goes_on_as_the_undisturbed_one(
    sizes: list[int], mixing: MixSettings, seed: int, shuffle: bool, place: int
) -> None:
    mixing = replace(mixing, pattern=tuple(name for name in mixing.pattern if int(name) < len(sizes)))

    def make() -> PromptStream:
        return PromptStream(make_sources(*sizes), seed, shuffle, mixing=mixing)

    stream = make()
    list(islice(stream, place))
    state = json.loads(json.dumps(stream.state_dict()))
    assert state["number"] == place
    resumed = make()
    list(islice(resumed, 5))
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.epochs) == (stream.epoch, stream.epochs)
    assert resumed.state_dict() == stream.state_dict()
    assert list(islice(resumed, 30)) == list(islice(stream, 30))


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


@given(block=st.integers(1, 3))
def test_every_source_has_epochs_of_its_own(block: int) -> None:
    stream = PromptStream(make_sources(2, 3), seed=0, mixing=MixSettings(("0", "1", "0"), block))
    handed_out = list(islice(stream, 18 * block))
    assert [stream.source_of(prompt.example.id) for prompt in handed_out] == [
        name for name in ["0", "1", "0"] * 6 for _ in range(block)
    ]
    assert [prompt.number for prompt in handed_out] == list(range(18 * block))
    for name, size in {"0": 2, "1": 3}.items():
        own = [prompt for prompt in handed_out if prompt.example.id.startswith(f"{name}/")]
        assert [prompt.visit for prompt in own] == [count // size for count in range(len(own))]
        for start in range(0, len(own), size):
            assert len({prompt.example.id for prompt in own[start : start + size]}) == size
    assert stream.epochs == {"0": 6 * block, "1": 2 * block}
    assert stream.epoch == 18 * block / 5


def test_weights_share_out_the_prompts_without_random_draws() -> None:
    stream = PromptStream(make_sources(4, 4, weights=(3, 1)), seed=5)
    names = "".join(prompt.example.id[0] for prompt in islice(stream, 12))
    assert names == "0001" * 3


def test_other_sources_do_not_change_the_order_of_one() -> None:
    def ids(*sizes: int) -> list[str]:
        drawn = [prompt.example.id for prompt in islice(PromptStream(make_sources(*sizes), seed=3), 60)]
        return [name for name in drawn if name.startswith("0/")][:20]

    assert ids(20) == ids(20, 7) == ids(20, 7, 20)


def test_sources_of_one_size_have_orders_of_their_own() -> None:
    drawn = [prompt.example.id for prompt in islice(PromptStream(make_sources(30, 30), seed=3), 60)]
    places = {name: [id[2:] for id in drawn if id.startswith(f"{name}/")] for name in "01"}
    assert sorted(places["0"]) == sorted(places["1"])
    assert places["0"] != places["1"]


def test_prompts_are_found_by_id() -> None:
    sources = make_sources(3, 2)
    stream = PromptStream(sources, seed=0)
    handed_out = list(islice(stream, 10))[-1]
    found = stream.find(handed_out.example.id)
    assert replace(found, visit=handed_out.visit, number=handed_out.number) == handed_out
    assert stream.find("1/1") is sources[1].prompts[1]
    assert (stream.source_of("1/1"), stream.source_of("0/2")) == ("1", "0")
    with pytest.raises(UserError, match=r"no prompt has the id '1/2': resume with the data"):
        stream.find("1/2")


def changed(state: dict[str, Any], source: str, **values: Any) -> dict[str, Any]:
    sources = {**state["sources"], source: {**state["sources"][source], **values}}
    return {**state, "sources": sources}


@pytest.mark.parametrize("place", [{"epoch": 0, "position": 5}, {"epoch": -1}, {"prompts": 7}])
def test_a_place_in_other_data_is_refused(place: dict[str, int]) -> None:
    stream = PromptStream(make_prompts(5), seed=0)
    with pytest.raises(UserError, match=r"does not fit 5 prompts: resume with the data, .* of the saved run"):
        stream.load_state_dict(changed(stream.state_dict(), "", **place))


def test_a_place_in_other_data_of_a_named_source_is_refused() -> None:
    saved = PromptStream(make_sources(5, 6), seed=0).state_dict()
    with pytest.raises(UserError, match=r"position 0 of 6\) does not fit 7 prompts of source '1': resume"):
        PromptStream(make_sources(5, 7), seed=0).load_state_dict(saved)


@pytest.mark.parametrize(
    "other",
    [
        [Prompt(Example("0", [], ""), [0], 8), Prompt(Example("1", [], ""), [7], 8)],
        [Prompt(Example("0", [], ""), [0], 8), Prompt(Example("x", [], ""), [1], 8)],
        make_prompts(2)[::-1],
    ],
    ids=["tokens", "id", "order"],
)
def test_other_prompts_under_the_same_number_are_refused(other: list[Prompt]) -> None:
    saved = PromptStream(make_prompts(2), seed=0).state_dict()
    stream = PromptStream(other, seed=0)
    next(stream)
    with pytest.raises(UserError, match=r"the 2 prompts are not those of the saved run, though as many"):
        stream.load_state_dict(saved)
    assert stream.number == 1


def test_the_same_prompts_are_known_again_whatever_their_answers() -> None:
    other = [replace(prompt, example=replace(prompt.example, answer="7")) for prompt in make_prompts(2)]
    PromptStream(other, seed=0).load_state_dict(PromptStream(make_prompts(2), seed=0).state_dict())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (PromptStream(make_prompts(2), 0), r"from source '0', source '1', .* from one source without a name"),
        (
            PromptStream(make_sources(2, 2, 2), 0),
            r"source '1', this one .* source '2': resume with the sources",
        ),
        (PromptStream(make_sources(2, 2)[::-1], 0), r"from source '1', source '0': .* in their order"),
        (
            PromptStream(make_sources(2, 2), 1),
            "had seed=0, this one has 1: resume with the seed of the saved",
        ),
        (PromptStream(make_sources(2, 2), 0, False), "had shuffle=True, this one has False: resume"),
        (PromptStream(make_sources(2, 2, weights=(2, 1)), 0), "had weights={'0': 1.0, '1': 1.0}, this one"),
        (
            PromptStream(make_sources(2, 2), 0, mixing=MixSettings(("0", "1"))),
            r"had pattern=\[\], this one has \['0', '1'\]: resume with the pattern",
        ),
        (PromptStream(make_sources(2, 2), 0, mixing=MixSettings(block=2)), "had block=1, this one has 2"),
    ],
)
def test_a_state_of_another_stream_is_refused(other: PromptStream, message: str) -> None:
    saved = PromptStream(make_sources(2, 2), seed=0).state_dict()
    with pytest.raises(UserError, match=message):
        other.load_state_dict(saved)


@pytest.mark.parametrize(
    ("first", "second", "number"), [(0, 1, 1), (1, 1, 2), (2, 0, 1)], ids=["phase", "two blocks", "number"]
)
def test_a_damaged_state_is_refused(first: int, second: int, number: int) -> None:
    stream = PromptStream(make_sources(5, 5), seed=0, mixing=MixSettings(block=2))
    state = changed(changed(stream.state_dict(), "0", position=first), "1", position=second)
    with pytest.raises(UserError, match=rf"after {first}, {second} prompts\) make no place in this stream"):
        stream.load_state_dict({**state, "number": number})


def test_streams_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        PromptStream([], seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        PromptStream(make_prompts(1), seed=-1)
    with pytest.raises(ValueError, match="two prompts have the id '0'; make sources with build_sources"):
        PromptStream([Source("a", make_prompts(1)), Source("b", make_prompts(1))], seed=0)
    with pytest.raises(UserError, match="2 sources share the name 'a'"):
        PromptStream([Source("a", make_prompts(1))] * 2, seed=0)
    with pytest.raises(UserError, match="pattern: there is no source '2'"):
        PromptStream(make_sources(1, 1), seed=0, mixing=MixSettings(("0", "1", "2")))


def test_demonstrations_repeat_in_new_orders() -> None:
    items = list(range(20))
    passes = [list(islice(source, 20)) for source in [endlessly(items)] for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == items
    assert passes[0] != passes[1]
    assert list(islice(endlessly(items), 40)) == passes[0] + passes[1]

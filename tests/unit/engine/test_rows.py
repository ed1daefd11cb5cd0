"""What sequences in flight have drawn stays theirs, in whatever order rows come, move and go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dapo.engine.noise import uniforms
from dapo.engine.rows import Flight, Rows
from dapo.types import Completion, Group
from tests.unit.engine import tiny

SLOTS = 5


@dataclass
class Model:
    """A row as plain lists."""

    begun: int
    limit: int
    key: int
    completion: Completion
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


def flight(key: int, begun: int, limit: int) -> tuple[Flight, Model]:
    completion = Completion(list(range(begun)), [0.5] * begun, [3] * begun, [True] * begun, None, "")
    prompt = replace(tiny.prompts([1])[0], max_completion_tokens=limit)
    model = Model(begun, limit, key, completion, list(range(begun)), [0.5] * begun)
    return Flight(Group(prompt, [completion]), completion, key), model


def check(rows: Rows, models: list[Model], count: int) -> None:
    assert len(rows) == len(models)
    assert [flight.key for flight in rows.flights] == [model.key for model in models]
    assert rows.drawn.tolist() == [len(model.tokens) for model in models]
    assert rows.at_limit == [i for i, model in enumerate(models) if len(model.tokens) >= model.limit]
    for place, model in enumerate(models):
        assert rows.tail(place, count) == model.tokens[-count:]
    if models:
        keys = np.array([model.key for model in models])
        positions = np.array([len(model.tokens) for model in models])
        assert rows.uniforms(torch.device("cpu")).tolist() == uniforms(keys, positions).tolist()


@settings(max_examples=60)
@given(st.data())
def test_lines_survive_any_order_of_coming_moving_and_going(data: st.DataObject) -> None:
    rows, models = Rows(SLOTS), list[Model]()
    written: list[Model] = []
    number = 0
    for _ in range(data.draw(st.integers(1, 12))):
        coming = data.draw(st.integers(0, SLOTS - len(models)))
        new = [
            flight(100 + number + i, data.draw(st.integers(0, 4)), data.draw(st.integers(5, 12)))
            for i in range(coming)
        ]
        number += coming
        rows.add([one for one, _ in new])
        models += [model for _, model in new]
        if not models:
            continue
        tokens = np.array([data.draw(st.integers(0, 99)) for _ in models])
        logprobs = -tokens.astype(np.float32)
        rows.append(tokens, logprobs)
        for model, token, logprob in zip(models, tokens.tolist(), logprobs.tolist(), strict=True):
            model.tokens.append(token)
            model.logprobs.append(logprob)
        check(rows, models, data.draw(st.integers(1, 9)))
        full = rows.at_limit
        ended = sorted({*full, *data.draw(st.sets(st.integers(0, len(models) - 1)))})
        rows.write(ended, version=7)
        written += [models[row] for row in ended]
        stay = data.draw(st.permutations([row for row in range(len(models)) if row not in ended]))
        rows.keep(np.array(stay, dtype=np.int64))
        models = [models[row] for row in stay]
        check(rows, models, data.draw(st.integers(1, 9)))
    for model in models:
        assert len(model.completion) == model.begun  # nothing is written before it ends
    rows.write(range(len(rows)), version=7)
    for model in [*written, *models]:
        completion = model.completion
        assert completion.token_ids == model.tokens
        assert completion.sampler_logprobs == model.logprobs
        new_tokens = len(model.tokens) - model.begun
        assert completion.policy_versions == [3] * model.begun + [7] * new_tokens
        assert completion.trainable == [True] * len(model.tokens)

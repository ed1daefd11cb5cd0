"""Recorded decoding, as far as a machine without a GPU can show it: buckets, padding, and what is forgotten.

In the place of CUDA's recorder stands one that runs the forward pass again at each replay, over the same
buffers. tests/gpu has the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dapo.data.prompts import build_prompts
from dapo.engine.fused import FusedDecoder
from dapo.engine.graphs import DecodeGraphs, bucket
from dapo.engine.sampler import Sampler, SamplerSettings
from dapo.engine.weights import FusedWeights
from dapo.model import ModelSettings, load_codec, load_model
from dapo.tasks.arithmetic import Task
from dapo.types import Group, Prompt, SamplingParams


class Again:
    """Replays by computing again."""

    def __init__(self, run: Callable[[], Tensor]) -> None:
        self.run, self.logits = run, run()

    def replay(self) -> None:
        self.logits.copy_(self.run())


class RunsAgain(DecodeGraphs):
    recorded: list[tuple[int, int]]

    def _record(self, rows: int, columns: int) -> tuple[Again, Tensor]:
        self.recorded = [*getattr(self, "recorded", []), (rows, columns)]
        graph = Again(lambda: self._forward(self._tokens[:rows], self._positions[:rows], columns))
        return graph, graph.logits


@pytest.fixture
def sampler(tiny_model: Path) -> Sampler:
    settings = ModelSettings(str(tiny_model), template="plain")
    return Sampler(load_model(settings), load_codec(settings), SamplerSettings(slots=24), nullcontext)


def with_graphs(sampler: Sampler) -> tuple[Sampler, FusedDecoder]:
    decoder = FusedDecoder(FusedWeights(sampler.model, torch.float32), 24, 1000)
    decoder._graphs = RunsAgain(decoder._decode, 24, torch.device("cpu"))
    other = Sampler(sampler.model, sampler.codec, sampler.settings, nullcontext)
    other._decoder = decoder
    return other, decoder


def drawn(groups: list[Group]) -> dict[str, list[tuple[list[int], list[float]]]]:
    return {g.prompt.example.id: [(c.token_ids, c.sampler_logprobs) for c in g.completions] for g in groups}


def test_rows_of_a_bucket_that_are_not_in_use_disturb_none(sampler: Sampler) -> None:
    prompts: list[Prompt] = build_prompts(Task(train_size=14, eval_size=1).train(), sampler.codec, 64, 24)[0]
    params = SamplingParams(completions_per_prompt=5, seed=2)
    recorded, decoder = with_graphs(sampler)
    for _ in range(2):
        expected = drawn(list(sampler.generate(iter(prompts), params)))
        found = drawn(list(recorded.generate(iter(prompts), params)))
        for name, completions in expected.items():
            for (tokens, logprobs), (other_tokens, other_logprobs) in zip(
                completions, found[name], strict=True
            ):
                assert other_tokens == tokens
                assert other_logprobs == pytest.approx(logprobs, abs=1e-5)
    graphs = decoder._graphs
    assert isinstance(graphs, RunsAgain)
    assert {rows for rows, _ in graphs.recorded} == {8, 16, 24}
    assert len(graphs.recorded) == 2 * 3  # each generation records each bucket once


def test_nothing_recorded_outlives_the_memory_it_was_recorded_over(sampler: Sampler) -> None:
    _, decoder = with_graphs(sampler)
    decoder.open()
    decoder._graphs._recorded = {(8, 256): (None, torch.empty(0))}  # type: ignore[union-attr]
    decoder.cache.reserve(64, 0)
    decoder._moved()
    assert decoder._graphs._recorded == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 8), (8, 8), (9, 16), (17, 32), (33, 48), (48, 48), (40, 48)]
)
def test_a_bucket_is_the_next_power_of_two_within_its_bounds(value: int, expected: int) -> None:
    assert bucket(value, 8, 48) == expected

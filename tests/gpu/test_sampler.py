"""The embedded sampler on a GPU: recorded graphs, bfloat16, memory given back before the update."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dapo.backends.local import LocalSampler
from dapo.data.prompts import build_prompts
from dapo.engine.sampler import SamplerSettings
from dapo.model import ModelSettings, Precision
from dapo.tasks.arithmetic import Task
from dapo.types import Group, SamplingParams

pytestmark = pytest.mark.gpu


def sample(model: Path, cuda_graphs: bool, precision: Precision = "float32") -> list[Group]:
    sampler = LocalSampler(
        ModelSettings(str(model), template="plain", precision=precision, device="cuda"),
        SamplerSettings(slots=24, cuda_graphs=cuda_graphs),
    )
    assert sampler.notes == []
    prompts = build_prompts(Task(train_size=14, eval_size=1).train(), sampler.codec, 64, 24)[0]
    params = SamplingParams(completions_per_prompt=5, seed=2)
    groups = [group for _ in range(2) for group in sampler.generate(iter(prompts), params)]
    return sorted(groups, key=lambda group: group.prompt.example.id)


def test_recorded_decoding_draws_what_the_kernels_launched_one_by_one_draw(tiny_model: Path) -> None:
    for graphs, plain in zip(sample(tiny_model, True), sample(tiny_model, False), strict=True):
        for one, other in zip(graphs.completions, plain.completions, strict=True):
            assert one.token_ids == other.token_ids
            assert one.sampler_logprobs == pytest.approx(other.sampler_logprobs, abs=1e-4)


def test_in_bfloat16_the_log_probabilities_stay_near_those_in_float32(tiny_model: Path) -> None:
    exact = sample(tiny_model, True)
    rounded = sample(tiny_model, True, "bfloat16")
    firsts = [
        (one.sampler_logprobs[0], other.sampler_logprobs[0])
        for group, rough in zip(exact, rounded, strict=True)
        for one, other in zip(group.completions, rough.completions, strict=True)
        if one.token_ids[0] == other.token_ids[0]
    ]
    assert len(firsts) > 100
    assert max(abs(a - b) for a, b in firsts) < 0.1


def test_the_cache_is_given_back_when_a_generation_stops(tiny_model: Path) -> None:
    sampler = LocalSampler(
        ModelSettings(str(tiny_model), template="plain", device="cuda"), SamplerSettings(slots=256)
    )
    prompts = build_prompts(Task(train_size=64, eval_size=1).train(), sampler.codec, 64, 180)[0]
    before = torch.cuda.memory_allocated()
    generation = sampler.generate(iter(prompts), SamplingParams(completions_per_prompt=4))
    generation.step()
    during = torch.cuda.memory_allocated()
    generation.stop()
    assert during - before > 2**20
    assert torch.cuda.memory_allocated() - before < (during - before) / 2

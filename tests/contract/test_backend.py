"""What every backend promises. A new backend adds itself to `BACKENDS` and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from dapo import samples as rows
from dapo.algorithms import PRESETS
from dapo.backends.base import Backend
from dapo.backends.local import LocalBackend
from dapo.core.schedule import Schedule
from dapo.data.prompts import build_prompts
from dapo.engine.sampler import SamplerSettings
from dapo.learner import LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings, load_codec
from dapo.tasks.arithmetic import Task
from dapo.types import GradedGroup, Prompt, Rollout, Sample, SamplingParams, Score

ALGORITHM = PRESETS["dapo"].resolved(16)
PARAMS = SamplingParams(completions_per_prompt=4, seed=5)


def local(model: Path) -> Backend:
    return LocalBackend(
        ModelSettings(str(model), template="plain"),
        sampler=SamplerSettings(slots=16),
        learner=LearnerSettings(),
        optimizer=OptimizerSettings(lr=1e-2, schedule=Schedule(kind="linear", warmup_updates=2)),
        temperature=1.0,
        total_updates=20,
        with_reference=True,
    )


BACKENDS: dict[str, Callable[[Path], Backend]] = {"local": local}


@pytest.fixture(params=BACKENDS)
def make_backend(request: pytest.FixtureRequest, tiny_model: Path) -> Callable[[], Backend]:
    return lambda: BACKENDS[request.param](tiny_model)


@pytest.fixture
def prompts(tiny_model: Path) -> list[Prompt]:
    codec = load_codec(ModelSettings(str(tiny_model), template="plain"))
    return build_prompts(Task(train_size=8, eval_size=1).train(), codec, 32, 16)[0]


def step_samples(backend: Backend, prompts: list[Prompt]) -> list[Sample]:
    """A step's annotated samples with made-up verdicts."""
    groups = [
        GradedGroup(
            group.prompt,
            [
                Rollout(completion, Score(index % 2), 1.0 - 2 * (index % 2))
                for index, completion in enumerate(group.completions)
            ],
        )
        for group in backend.generate(iter(prompts), PARAMS)
    ]
    groups.sort(key=lambda group: group.prompt.example.id)
    samples = rows.to_samples(groups, ALGORITHM)
    backend.annotate(samples, reference=False)
    rows.set_advantages(groups, samples, ALGORITHM)
    rows.set_weights(samples, ALGORITHM, backend.exact_sampler)
    return samples


def update(backend: Backend, samples: list[Sample]) -> dict[str, float]:
    metrics = backend.update(samples, rows.totals_of(samples), ALGORITHM)
    backend.sync()
    return metrics


def test_every_prompt_is_answered_by_a_whole_group(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    groups = list(make_backend().generate(iter(prompts), PARAMS))
    assert sorted(g.prompt.example.id for g in groups) == sorted(p.example.id for p in prompts)
    for group in groups:
        assert len(group.completions) == 4
        for completion in group.completions:
            assert len(completion) == len(completion.sampler_logprobs) == len(completion.policy_versions)
            assert all(completion.trainable)


def test_the_stream_can_be_stopped_at_any_group(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    stream: Iterator[object] = backend.generate(iter(prompts), PARAMS)
    assert len(list(islice(stream, 3))) == 3
    assert len(list(backend.generate(iter(prompts), PARAMS))) == len(prompts)


def test_an_exact_sampler_reports_the_learners_logprobs(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    if not backend.exact_sampler:
        pytest.skip("this backend does not claim an exact sampler")
    for _ in range(2):
        samples = step_samples(backend, prompts)
        for sample in samples:
            assert torch.allclose(sample.old_logprobs, sample.sampler_logprobs, atol=1e-5)
        update(backend, samples)


def test_the_reference_stays_where_the_policy_began(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    backend.annotate(samples, reference=True)
    assert all(torch.equal(s.ref_logprobs, s.old_logprobs) for s in samples)
    before = [s.ref_logprobs.clone() for s in samples]
    update(backend, samples)
    update(backend, samples)
    backend.annotate(samples, reference=True)
    assert all(torch.equal(s.ref_logprobs, b) for s, b in zip(samples, before, strict=True))
    assert not any(torch.equal(s.old_logprobs, b) for s, b in zip(samples, before, strict=True))


def test_an_update_raises_the_probability_of_what_was_rewarded(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    before = [float(s.old_logprobs.sum()) for s in samples]
    metrics = update(backend, samples)
    assert metrics["optim/skipped"] == 0
    assert metrics["optim/lr"] == pytest.approx(5e-3)  # half the rate in the first of two warm-up updates
    backend.annotate(samples, reference=False)
    gains = [(float(s.old_logprobs.sum()) - b) * s.advantage for s, b in zip(samples, before, strict=True)]
    assert sum(gains) > 0
    assert sum(gain > 0 for gain in gains) > 0.8 * len(gains)


def test_an_update_without_a_loss_token_is_skipped_and_changes_nothing(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    before = [s.old_logprobs.clone() for s in samples]
    for sample in samples:
        sample.loss_mask = torch.zeros_like(sample.loss_mask)
        sample.counted = sample.loss_mask
    assert update(backend, samples)["optim/skipped"] == 1
    assert update(backend, [])["optim/skipped"] == 1
    backend.annotate(samples, reference=False)
    assert all(torch.equal(s.old_logprobs, b) for s, b in zip(samples, before, strict=True))


def test_a_gradient_that_is_not_finite_is_skipped_and_said(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    before = [s.old_logprobs.clone() for s in samples]
    samples[3].advantage = float("nan")
    metrics = update(backend, samples)
    assert (metrics["optim/skipped"], metrics["optim/nonfinite"]) == (1, 1)
    backend.annotate(samples, reference=False)
    assert all(torch.equal(s.old_logprobs, b) for s, b in zip(samples, before, strict=True))
    samples[3].advantage = 1.0
    assert update(backend, samples)["optim/skipped"] == 0


def test_what_is_saved_continues_to_the_same_numbers(
    make_backend: Callable[[], Backend], prompts: list[Prompt], tmp_path: Path
) -> None:
    one = make_backend()
    update(one, step_samples(one, prompts))
    one.save(tmp_path / "saved")
    other = make_backend()
    other.load(tmp_path / "saved")
    for _ in range(2):
        found, expected = step_samples(other, prompts), step_samples(one, prompts)
        for a, b in zip(found, expected, strict=True):
            assert a.completion_ids == b.completion_ids
            assert torch.equal(a.old_logprobs, b.old_logprobs)
        assert update(other, found) == update(one, expected)


def test_a_saved_model_loads_with_transformers(
    make_backend: Callable[[], Backend], prompts: list[Prompt], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    backend = make_backend()
    samples = step_samples(backend, prompts)
    update(backend, samples)
    backend.annotate(samples, reference=False)
    backend.save(tmp_path / "saved")
    backend.close()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "1+2=?\n"}], tokenize=False)
    assert text == "1+2=?\n"
    sample = samples[0]
    ids = torch.tensor([[*sample.prompt_ids, *sample.completion_ids]])
    logprobs = model(ids).logits[0, len(sample.prompt_ids) - 1 : -1].log_softmax(-1)
    found = logprobs.gather(-1, ids[0, len(sample.prompt_ids) :, None])[:, 0]
    assert torch.allclose(found, sample.old_logprobs, atol=1e-5)

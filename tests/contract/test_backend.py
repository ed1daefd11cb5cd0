"""What every backend promises. A new backend adds itself to `BACKENDS` and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dapo.algorithms import PRESETS
from dapo.backends.base import Backend
from dapo.backends.local import LocalBackend
from dapo.core.schedule import Schedule
from dapo.data.prompts import build_prompts
from dapo.engine.sampler import SamplerSettings
from dapo.learning import samples as rows
from dapo.learning.learner import LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings, load_codec
from dapo.tasks.arithmetic import Task
from dapo.types import Admission, GradedGroup, Group, Prompt, Rollout, Sample, SamplingParams, Score

ALGORITHM = PRESETS["dapo"].resolved(16)
PARAMS = SamplingParams(completions_per_prompt=4, seed=5)


def local(model: Path) -> Backend:
    return LocalBackend(
        ModelSettings(str(model), template="plain"),
        sampler=SamplerSettings(slots=16),
        learner=LearnerSettings(),
        optimizer=OptimizerSettings(lr=1e-2, schedule=Schedule(kind="linear", warmup_updates=2)),
        temperature=1.0,
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


def step_samples(backend: Backend, work: Iterable[Admission]) -> list[Sample]:
    """A step's annotated samples with made-up verdicts."""
    groups = [
        GradedGroup(
            group.prompt,
            [
                Rollout(completion, Score(index % 2), 1.0 - 2 * (index % 2))
                for index, completion in enumerate(group.completions)
            ],
        )
        for group in backend.generate(iter(work), PARAMS)
    ]
    groups.sort(key=lambda group: group.prompt.example.id)
    samples = rows.to_samples(groups, ALGORITHM)
    backend.annotate(samples, reference=False, entropies=False)
    rows.set_advantages(groups, samples, ALGORITHM)
    rows.set_weights(samples, ALGORITHM, backend.policy_version if backend.exact_sampler else None)
    return samples


def update(backend: Backend, samples: list[Sample], progress: float = 0.0) -> dict[str, float]:
    metrics = backend.update(samples, rows.totals_of(samples), ALGORITHM, progress)
    backend.sync()
    return metrics


def computed(backend: Backend, samples: list[Sample]) -> list[Tensor]:
    """Log-probabilities of the learner's own, none borrowed from the sampler."""
    backend.annotate(samples, reference=False, entropies=True)
    assert not any(sample.old_is_borrowed for sample in samples)
    return [sample.old_logprobs for sample in samples]


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


def ids(groups: list[Group]) -> list[str]:
    return [group.prompt.example.id for group in groups]


def test_the_stream_can_be_stopped_at_any_group(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    waiting = iter(prompts)
    generation = backend.generate(waiting, PARAMS)
    ended: list[Group] = []
    while len(ended) < 3:
        ended += generation.step()
    in_flight = generation.stop()
    assert generation.in_flight == 0
    assert generation.step() == []
    assert 0 < len(in_flight) < len(prompts) - 2
    assert not any(group.finished for group in in_flight)
    admitted = [prompt for prompt in prompts if prompt.example.id in ids([*ended, *in_flight])]
    assert [*admitted, *waiting] == prompts
    assert ids(in_flight) == [prompt.example.id for prompt in admitted if prompt.example.id not in ids(ended)]
    assert generation.drawn == sum(group.tokens for group in [*ended, *in_flight])
    assert len(list(backend.generate(iter(prompts), PARAMS))) == len(prompts)


def test_what_is_handed_back_goes_on_after_an_update_with_every_token_under_its_policy(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    version = backend.policy_version
    generation = backend.generate(iter(prompts), PARAMS)
    for _ in range(4):
        generation.step()
    in_flight = generation.stop()
    before = [
        [(list(c.token_ids), list(c.sampler_logprobs)) for c in group.completions] for group in in_flight
    ]
    update(backend, step_samples(backend, prompts))
    assert backend.policy_version == version + 1
    finished = {group.prompt.example.id: group for group in backend.generate(iter(in_flight), PARAMS)}
    assert sorted(finished) == sorted(ids(in_flight))
    assert any(group.policy_versions == [version, version + 1] for group in finished.values())
    for example_id, begun in zip(ids(in_flight), before, strict=True):
        assert finished[example_id].finished
        for completion, (tokens, logprobs) in zip(finished[example_id].completions, begun, strict=True):
            assert completion.token_ids[: len(tokens)] == tokens
            assert completion.sampler_logprobs[: len(tokens)] == logprobs
            more = len(completion) - len(tokens)
            assert completion.policy_versions == [version] * len(tokens) + [version + 1] * more


def test_tokens_of_an_older_policy_are_weighted_and_the_others_are_not(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    if not backend.exact_sampler:
        pytest.skip("this backend does not claim an exact sampler")
    generation = backend.generate(iter(prompts), PARAMS)
    for _ in range(4):
        generation.step()
    in_flight = generation.stop()
    fresh = step_samples(backend, prompts)
    assert all(torch.equal(s.weights, torch.ones_like(s.weights)) for s in fresh)
    update(backend, fresh)
    samples = step_samples(backend, in_flight)
    weights = torch.cat([s.weights for s in samples])
    ratios = torch.cat([(s.old_logprobs - s.sampler_logprobs).exp() for s in samples])
    stale = torch.cat([s.policy_versions < backend.policy_version for s in samples])
    assert stale.any()
    assert (~stale).any()
    assert torch.equal(weights[~stale], torch.ones_like(weights[~stale]))
    assert torch.allclose(weights[stale], ratios[stale].clamp(max=2.0))
    assert (weights[stale] - 1).abs().mean() > 0.01


def test_nothing_to_admit_is_no_end_while_groups_are_in_flight(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    work: Iterator[Prompt | None] = iter([prompts[0], None, prompts[1], None, None])
    assert sorted(ids(list(backend.generate(work, PARAMS)))) == sorted(p.example.id for p in prompts[:2])


def test_an_exact_sampler_reports_the_learners_logprobs(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    if not backend.exact_sampler:
        pytest.skip("this backend does not claim an exact sampler")
    for _ in range(2):
        samples = step_samples(backend, prompts)
        assert any(sample.old_is_borrowed for sample in samples)
        for sample, old in zip(samples, computed(backend, samples), strict=True):
            assert torch.allclose(old, sample.sampler_logprobs, atol=1e-5)
        update(backend, samples)


def test_the_reference_stays_where_the_policy_began(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    backend.annotate(samples, reference=True, entropies=False)
    assert all(torch.allclose(s.ref_logprobs, s.old_logprobs, atol=1e-5) for s in samples)
    before = [s.ref_logprobs.clone() for s in samples]
    update(backend, samples)
    update(backend, samples)
    backend.annotate(samples, reference=True, entropies=False)
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
    backend.annotate(samples, reference=False, entropies=False)
    gains = [(float(s.old_logprobs.sum()) - b) * s.advantage for s, b in zip(samples, before, strict=True)]
    assert sum(gains) > 0
    assert sum(gain > 0 for gain in gains) > 0.8 * len(gains)


def test_the_learning_rate_follows_the_warm_up_and_the_share_of_the_run(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    rates = [update(backend, samples, progress)["optim/lr"] for progress in (0.0, 0.25, 0.5)]
    assert rates == pytest.approx([0.5e-2, 0.75e-2, 0.5e-2])


def test_an_update_without_a_loss_token_is_skipped_and_changes_nothing(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    before = computed(backend, samples)
    for sample in samples:
        sample.loss_mask = torch.zeros_like(sample.loss_mask)
        sample.counted = sample.loss_mask
    assert update(backend, samples)["optim/skipped"] == 1
    assert update(backend, [])["optim/skipped"] == 1
    assert all(map(torch.equal, computed(backend, samples), before))


def test_a_gradient_that_is_not_finite_is_skipped_and_said(
    make_backend: Callable[[], Backend], prompts: list[Prompt]
) -> None:
    backend = make_backend()
    samples = step_samples(backend, prompts)
    before = computed(backend, samples)
    samples[3].advantage = float("nan")
    metrics = update(backend, samples)
    assert (metrics["optim/skipped"], metrics["optim/nonfinite"]) == (1, 1)
    assert all(map(torch.equal, computed(backend, samples), before))
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
    assert other.policy_version == one.policy_version == 1
    for progress in (0.2, 0.4):
        found, expected = step_samples(other, prompts), step_samples(one, prompts)
        for a, b in zip(found, expected, strict=True):
            assert a.completion_ids == b.completion_ids
            assert torch.equal(a.old_logprobs, b.old_logprobs)
        assert update(other, found, progress) == update(one, expected, progress)


def test_a_saved_model_loads_with_transformers(
    make_backend: Callable[[], Backend], prompts: list[Prompt], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    backend = make_backend()
    samples = step_samples(backend, prompts)
    update(backend, samples)
    backend.annotate(samples, reference=False, entropies=False)
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

"""No gradient depends on how an update is cut into batches: for every preset, before clipping."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dapo.algorithms import PRESETS, Algorithm
from dapo.core.schedule import Schedule
from dapo.learning import samples as rows
from dapo.learning.learner import Learner, LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings, load_codec, load_model
from dapo.types import Sample

DAPO = PRESETS["dapo"].resolved(64)
WHOLE = LearnerSettings(tokens_per_batch=100_000)


def make_learner(model_path: Path, settings: LearnerSettings) -> Learner:
    model = ModelSettings(str(model_path), template="plain")
    return Learner(
        load_model(model),
        pad_id=load_codec(model).pad_id,
        temperature=1.0,
        context=nullcontext,
        optimizer=OptimizerSettings(lr=1e-2, schedule=Schedule()),
        settings=settings,
        reference=load_model(model),
    )


def annotated_samples(learner: Learner, algorithm: Algorithm) -> list[Sample]:
    """Samples of three prompts and of very different lengths, one of them masked whole and one of a single
    token, annotated under a policy that the weights have moved away from, so that ratios differ from 1 and
    some clip."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = learner.model.config.vocab_size

    def ids(count: int) -> list[int]:
        return torch.randint(3, vocabulary, (count,), generator=generator).tolist()

    prompts, samples = [ids(3), ids(9), ids(1)], []
    for index, (prompt, completion) in enumerate(
        [(0, 17), (1, 1), (0, 40), (2, 8), (1, 23), (0, 5), (2, 30)]
    ):
        mask = torch.full((completion,), index != 3)
        mask[: completion // 4] = False
        samples.append(
            Sample(
                prompt_ids=prompts[prompt],
                completion_ids=ids(completion),
                loss_mask=mask,
                sampler_logprobs=-3 - torch.rand(completion, generator=generator),
                advantage=(-1.0) ** index * (0.5 + index / 4),
            )
        )
    learner.annotate(samples, entropies=algorithm.entropy_mask is not None)
    if algorithm.kl is not None:
        learner.annotate_reference(samples)
    for sample in samples:
        sample.old_logprobs = sample.old_logprobs + 0.3 * torch.randn(
            len(sample.completion_ids), generator=generator
        )
    rows.set_weights(samples, algorithm, exact_version=None)
    return samples


def gradient(learner: Learner, samples: list[Sample], algorithm: Algorithm) -> Tensor:
    learner.accumulate(samples, rows.totals_of(samples), algorithm)
    flat = torch.cat([parameter.grad.flatten().clone() for parameter in learner.parameters])
    learner.optimizer.zero_grad(set_to_none=True)
    return flat


def reversed_order(samples: list[Sample]) -> list[Sample]:
    return samples[::-1]


CUTS: dict[str, tuple[LearnerSettings, Callable[[list[Sample]], list[Sample]]]] = {
    "one sample a batch": (LearnerSettings(tokens_per_batch=1), list),
    "small token budget": (LearnerSettings(tokens_per_batch=64), list),
    "other order": (LearnerSettings(tokens_per_batch=100), reversed_order),
    "padded": (LearnerSettings(tokens_per_batch=100_000, share_prompts=False), list),
    "padded, small": (LearnerSettings(tokens_per_batch=60, share_prompts=False), reversed_order),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", PRESETS)
def test_gradient_does_not_depend_on_the_cut(name: str, cut: str, tiny_model: Path) -> None:
    algorithm = PRESETS[name].resolved(64)
    learner = make_learner(tiny_model, WHOLE)
    samples = annotated_samples(learner, algorithm)
    expected = gradient(learner, samples, algorithm)
    settings, reorder = CUTS[cut]
    found = gradient(make_learner(tiny_model, settings), reorder(samples), algorithm)
    assert expected.norm() > 1e-3
    assert (found - expected).norm() / expected.norm() < 1e-5


def test_the_same_samples_give_the_same_bits(tiny_model: Path) -> None:
    """Many samples of one prompt, whose last token takes gradients of all: enough for sums in parallel."""
    learner = make_learner(tiny_model, WHOLE)
    generator = torch.Generator().manual_seed(0)
    samples = [
        Sample(
            prompt_ids=[3, 4, 5],
            completion_ids=torch.randint(3, 20, (40,), generator=generator).tolist(),
            loss_mask=torch.ones(40, dtype=torch.bool),
            sampler_logprobs=torch.zeros(40),
            old_logprobs=torch.full((40,), -3.0),
            advantage=float(index) - 31.5,
        )
        for index in range(64)
    ]
    rows.set_weights(samples, DAPO, exact_version=None)
    gradients = [gradient(learner, samples, DAPO) for _ in range(8)]
    assert all(torch.equal(found, gradients[0]) for found in gradients[1:])


@pytest.mark.parametrize("name", PRESETS)
def test_several_steps_of_plain_gradient_descent_do_not_depend_on_the_cut(
    name: str, tiny_model: Path
) -> None:
    """AdamW and clipping would hide a wrong scale, so neither is used."""
    algorithm = PRESETS[name].resolved(64)
    travelled = []
    for settings in (WHOLE, LearnerSettings(tokens_per_batch=60), LearnerSettings(60, share_prompts=False)):
        learner = make_learner(tiny_model, settings)
        start = [parameter.detach().clone() for parameter in learner.parameters]
        samples = annotated_samples(learner, algorithm)
        for mini_batch in (samples[:4], samples[4:], samples[1:6]):
            step = gradient(learner, mini_batch, algorithm)
            for parameter, part in zip(
                learner.parameters, step.split([p.numel() for p in learner.parameters]), strict=True
            ):
                parameter.data -= 0.05 * part.view_as(parameter)
        travelled.append(
            torch.cat([(p.detach() - s).flatten() for p, s in zip(learner.parameters, start, strict=True)])
        )
    for other in travelled[1:]:
        assert (other - travelled[0]).norm() / travelled[0].norm() < 1e-4


def test_gradient_checkpointing_computes_twice_and_changes_no_gradient(tiny_model: Path) -> None:
    algorithm = PRESETS["dapo"].resolved(64)
    learner = make_learner(tiny_model, WHOLE)
    samples = annotated_samples(learner, algorithm)
    passes: list[int] = []
    learner.model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    expected = gradient(learner, samples, algorithm)
    kept = len(passes)
    learner.model.gradient_checkpointing_enable({"use_reentrant": False})
    assert (gradient(learner, samples, algorithm) - expected).norm() / expected.norm() < 1e-5
    assert len(passes) - kept == 2 * kept

"""Fits or not, what to change, and how long: by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dapo.errors import UserError
from dapo.planning.gpus import GPUS, Gpu, find_gpu
from dapo.planning.layout import Layout
from dapo.planning.plan import Asked, make_plan
from dapo.planning.sampler import Flight, sampler_memory
from dapo.planning.shape import ModelShape
from dapo.planning.timing import Assumptions, Work, step_time

SHAPE = ModelShape(
    name="small",
    layers=10,
    hidden=1000,
    heads=10,
    key_value_heads=5,
    head_dimension=100,
    feed_forward=4000,
    vocabulary=50_000,
    parameters=200_000_000,
    layer_matrices=150_000_000,
    embedding=50_000_000,
    tied=True,
    norms_queries=False,
)
GPU = Gpu(memory=10**10, bfloat16=1e14, float32=1e13, bandwidth=1e12)
WORK = Work(
    prompts=8,
    group=4,
    max_prompt_tokens=400,
    max_completion_tokens=1000,
    dynamic=False,
    shared=False,
    old_pass=1.0,
    reference=False,
    checkpointing=False,
    overlaps=False,
)
FULL = Assumptions(mean_completion=1.0, mean_prompt=1.0, train_efficiency=1.0, decode_efficiency=1.0)
ASKED = Asked(SHAPE, GPU, Layout(), WORK, Flight(16, 1400, 256), 8192, 32, 2, assumptions=FULL)


def test_the_embedded_sampler_holds_a_row_more_than_slots() -> None:
    memory = sampler_memory(SHAPE, Layout(2, sampler_gpus=1), Flight(16, 1400, 256), 2, 1e10, False)
    assert memory.parts["weights"] == 4 * 200e6
    assert memory.parts["compute copy"] == 2 * (150e6 + 50e6)
    assert memory.parts["cache"] == 17 * 2 * 10 * 500 * 2 * 1400
    assert sampler_memory(SHAPE, Layout(), Flight(1, 1400, 256), 2, 1e10, True).parts["weights"] == 0


def test_vllm_fills_its_share_with_cache() -> None:
    layout = Layout(2, sampler_gpus=1, engine="vllm", gpu_memory_utilization=0.5)
    memory = sampler_memory(SHAPE, layout, Flight(None, 1400, 256), 2, 1e10, False)
    assert memory.parts == {"weights": 2 * 200e6, "cache": 5e9 - 4e8}
    assert memory.slots == int(4.6e9 // (2 * 10 * 500 * 2 * 1400))


def test_the_time_of_a_step_is_that_of_its_operations_and_bytes() -> None:
    step = step_time(SHAPE, GPU, Layout(), WORK, FULL, width=2, slots=16)
    active, length = 150e6 + 50e6, 1400
    forward = (2 * active * 32 * length + 32 * 2 * 10 * 1000 * length**2) / 1e14
    assert step.annotate == pytest.approx(forward)
    assert step.update == pytest.approx(3 * forward)
    tick = (active * 2 + 16 * 900 * 2 * 10 * 500 * 2) / 1e12  # weights, and caches at half of the completion
    assert step.generate == pytest.approx(2000 * tick + 2 * active * 8 * 400 / 1e14)
    assert step.total == pytest.approx(step.generate + step.annotate + step.update)
    again = step_time(SHAPE, GPU, Layout(), replace(WORK, checkpointing=True), FULL, width=2, slots=16)
    assert again.update == pytest.approx(4 * forward)


def test_dynamic_sampling_generates_groups_by_their_signal() -> None:
    work = replace(WORK, dynamic=True)
    step = step_time(SHAPE, GPU, Layout(), work, replace(FULL, signal_share=0.25), width=2, slots=16)
    assert (step.trained_tokens, step.generated_tokens) == (32_000, 128_000)


def test_samplers_apart_overlap_the_learner_only_where_staleness_allows() -> None:
    layout = Layout(2, sampler_gpus=1)
    waits, runs = (
        step_time(SHAPE, GPU, layout, replace(WORK, overlaps=overlaps), FULL, width=2, slots=16)
        for overlaps in (False, True)
    )
    assert waits.total == pytest.approx(waits.generate + waits.annotate + waits.update)
    assert runs.total == pytest.approx(max(runs.generate, runs.annotate + runs.update))


def test_what_does_not_fit_is_answered_with_changes_that_save() -> None:
    roomy = make_plan(replace(ASKED, gpu=replace(GPU, memory=40 * 10**9)))
    assert roomy.fits and not roomy.advice
    plan = make_plan(replace(ASKED, gpu=replace(GPU, memory=6 * 10**9)))
    assert not plan.fits
    settings = [advice.setting for advice in plan.advice]
    assert settings[0] == "learner.tokens_per_batch" and "model.gradient_checkpointing" in settings
    assert all(advice.saves > 0 for advice in plan.advice)
    smaller = make_plan(replace(ASKED, gpu=replace(GPU, memory=6 * 10**9), tokens_per_batch=1400))
    assert plan.ranks[0].total - smaller.ranks[0].total == pytest.approx(plan.advice[0].saves)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus": 6, "tensor_parallel": 4}, "6 learner GPUs cannot be divided by tensor_parallel .4.; 3"),
        ({"gpus": 4, "sampler_gpus": 4}, "must leave a GPU to the learner"),
        ({"gpus": 0}, "gpus must be at least 1"),
        ({"gpus": 4, "sampler_tensor_parallel": 2}, "needs engine vllm"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout(**settings)  # type: ignore[arg-type]


def test_gpus_are_found_by_short_names_and_others_answered_with_the_nearest() -> None:
    assert find_gpu("H200") == ("h200-141", GPUS["h200-141"])
    with pytest.raises(UserError, match="did you mean rtx4090"):
        find_gpu("rtx4080")

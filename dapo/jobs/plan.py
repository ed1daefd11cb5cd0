"""From a recipe and GPUs to a plan: what `dapo plan` computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dapo.engine.memory import MOST
from dapo.errors import UserError
from dapo.learning.agreement import WATCHED_SHARE
from dapo.model import check_context, model_config
from dapo.planning.gpus import Gpu
from dapo.planning.layout import Layout
from dapo.planning.plan import Asked, Plan, make_plan
from dapo.planning.sampler import Flight
from dapo.planning.shape import ModelShape, describe
from dapo.planning.timing import Assumptions, Work
from dapo.recipe.config import Recipe

VLLM_SEQUENCES = 256
"""vLLM's default of max_num_seqs for online serving."""
_SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that do more to their logits than one product (Gemma 2, Cohere, Granite)."""


def ask(recipe: Recipe, gpu: Gpu, layout: Layout, assumptions: Assumptions, reserved: int) -> Asked:
    """What a plan of this recipe is computed from. Of the model, its config alone is read.

    Raises:
        UserError: where the model or the layout cannot be planned.
    """
    config = model_config(recipe.model)
    check_context(recipe.model, recipe.max_prompt_tokens + recipe.max_completion_tokens)
    shape = describe(config)
    _check_split(shape, layout)
    values = config.get_text_config().to_dict()
    return Asked(
        shape=shape,
        gpu=gpu,
        layout=layout,
        work=_work(recipe, layout),
        flight=Flight(
            recipe.generation.slots,
            recipe.max_prompt_tokens + recipe.max_completion_tokens,
            VLLM_SEQUENCES if layout.engine == "vllm" else MOST,
        ),
        tokens_per_batch=recipe.learner.tokens_per_batch,
        samples_per_update=recipe.sizes.mini_batch,
        width=2 if recipe.model.precision == "bfloat16" else 4,
        linear_head=not any(values.get(name) for name in _SCALED),
        assumptions=assumptions,
        reserved=reserved,
    )


def _check_split(shape: ModelShape, layout: Layout) -> None:
    for name, size in (("--tp", layout.tensor_parallel), ("--sampler-tp", layout.sampler_tensor_parallel)):
        if shape.heads % size:
            sizes = ", ".join(str(n) for n in range(1, shape.heads + 1) if shape.heads % n == 0)
            raise UserError(
                f"{name} {size}: the {shape.heads} attention heads of {shape.name} cannot be divided by it; "
                f"choose one of {sizes}"
            )


def _work(recipe: Recipe, layout: Layout) -> Work:
    algorithm = recipe.algorithm
    entropies = algorithm.entropy_bonus > 0 or algorithm.entropy_mask is not None
    exact = recipe.model.precision == "float32" and layout.engine == "embedded" and not entropies
    return Work(
        prompts=recipe.prompts_per_step,
        group=recipe.group_size,
        max_prompt_tokens=recipe.max_prompt_tokens,
        max_completion_tokens=recipe.max_completion_tokens,
        dynamic=recipe.sampling_policy == "refill",
        shared=recipe.learner.share_prompts and recipe.model.attention == "sdpa",
        old_pass=WATCHED_SHARE if exact else 1.0,
        reference=algorithm.kl is not None,
        checkpointing=recipe.model.gradient_checkpointing,
        overlaps=recipe.sampling.max_staleness > 0,
    )


def plan_of(asked: Asked, recipe: Recipe) -> tuple[Plan, dict[str, Any]]:
    """The plan, and all of it as JSON can hold it. Bytes, seconds, tokens."""
    plan = make_plan(asked)
    return plan, {
        "recipe": recipe.name,
        "model": asdict(asked.shape),
        "layout": asdict(asked.layout),
        "assumptions": asdict(asked.assumptions),
        "fits": plan.fits,
        "ranks": [
            {
                "role": rank.role,
                "bytes": dict(rank.parts),
                "total": rank.total,
                "usable": rank.usable,
                "margin": rank.margin,
                "moment": rank.moment,
            }
            for rank in plan.ranks
        ],
        "slots": plan.sampler.slots,
        "batch": asdict(plan.batch),
        "advice": [asdict(one) for one in plan.advice],
        "step_seconds": asdict(plan.step),
        **run_figures(plan, recipe, asked.layout.gpus),
    }


def run_figures(plan: Plan, recipe: Recipe, gpus: int) -> Mapping[str, float | None]:
    """Rates, and what the run takes in all; None for a run without a limit in steps or tokens."""
    step, steps = plan.step, recipe.num_steps
    if steps is None and recipe.max_tokens is not None:
        steps = -(-recipe.max_tokens // round(step.generated_tokens))
    hours = None if steps is None else steps * step.total / 3600
    return {
        "trained_tokens_per_second": step.trained_tokens / step.total,
        "generated_tokens_per_second": step.generated_tokens / step.generate,
        "steps": steps,
        "hours": hours,
        "gpu_hours": None if hours is None else hours * gpus,
    }

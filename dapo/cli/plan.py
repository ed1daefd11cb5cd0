"""`dapo plan`: a plan as tables, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dapo.errors import UserError
from dapo.jobs.plan import ask, plan_of
from dapo.planning.gpus import find_gpu
from dapo.planning.layout import Engine, Layout
from dapo.planning.plan import Asked, Plan
from dapo.planning.timing import Assumptions
from dapo.recipe.config import load_recipe
from dapo.recipe.text import parse_overrides

GB = 1e9
_FLAGS = {
    "tensor_parallel": "--tp",
    "sampler_tensor_parallel": "--sampler-tp",
    "sampler_gpus": "--samplers",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "gpus": "--gpus",
}


@dataclass(frozen=True)
class PlanOptions:
    """What was asked for on the command line."""

    gpus: int
    gpu: str
    tp: int
    dp: int | None
    samplers: int | None
    sampler_tp: int
    engine: str
    gpu_memory_utilization: float
    assumed: tuple[float, float, float, float, float]
    reserved_gb: float
    as_json: bool


def run(recipe: str, overrides: Sequence[str], options: PlanOptions) -> None:
    """Print the plan of a recipe."""
    loaded = load_recipe(recipe, parse_overrides(overrides))
    name, gpu = find_gpu(options.gpu)
    layout, assumptions = _layout(options), _assumptions(options)
    if not 0 <= options.reserved_gb * GB < gpu.memory:
        raise UserError(f"--reserved-gb must lie between 0 and the {gpu.memory / GB:g} GB of {name}")
    asked = ask(loaded, gpu, layout, assumptions, round(options.reserved_gb * GB))
    plan, plain = plan_of(asked, loaded)
    if options.as_json:
        print(json.dumps({"gpu": name, **plain}, indent=2))
        return
    console = Console(highlight=False)
    for line in _lines(asked, plan, name, plain):
        console.print(line, soft_wrap=isinstance(line, Text))


def _layout(options: PlanOptions) -> Layout:
    if options.engine not in ("embedded", "vllm"):
        raise UserError(f"--engine must be embedded or vllm, not {options.engine!r}")
    try:
        layout = Layout(
            options.gpus,
            options.tp,
            options.samplers,
            options.sampler_tp,
            cast(Engine, options.engine),
            options.gpu_memory_utilization,
        )
    except ValueError as error:
        raise UserError(_in_flags(str(error))) from error
    if options.dp not in (None, layout.data_parallel):
        raise UserError(
            f"--dp {options.dp}: {layout.learner_ranks} learner GPUs with --tp {layout.tensor_parallel} make "
            f"--dp {layout.data_parallel}; leave --dp out, or change --gpus, --samplers or --tp"
        )
    return layout


def _in_flags(message: str) -> str:
    for field in sorted(_FLAGS, key=len, reverse=True):
        if message.startswith(field + " ") or f"({field}" in message or f" {field} " in message:
            return message.replace(field, _FLAGS[field])
    return message


def _assumptions(options: PlanOptions) -> Assumptions:
    try:
        return Assumptions(*options.assumed)
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        raise UserError(f"--{name.replace('_', '-')} {rest}") from error


def _lines(asked: Asked, plan: Plan, gpu: str, plain: Mapping[str, Any]) -> Iterator[Text | Table]:
    shape, layout = asked.shape, asked.layout
    where = "on the same GPUs" if layout.colocated else f"on {layout.sampler_ranks} GPUs of their own"
    yield Text(f"{plain['recipe']}: {shape.name}, {shape.parameters / 1e9:,.2f} B parameters", style="bold")
    yield Text(
        f"{layout.gpus} x {gpu}: learner {layout.data_parallel} x {layout.tensor_parallel} (dp x tp), "
        f"{layout.samplers} {layout.engine} samplers {where}\n"
    )
    for rank in plan.ranks:
        yield Text(f"{rank.role} ({rank.moment})", style="bold")
        table = Table(box=None)
        table.add_column("GB a GPU", min_width=30)
        table.add_column("", justify="right")
        for name, size in rank.parts.items():
            if size:
                table.add_row(name, f"{size / GB:,.2f}")
        table.add_row("total", f"{rank.total / GB:,.2f}", style="bold")
        table.add_row("usable", f"{rank.usable / GB:,.2f}")
        yield table
        verdict = f"fits, {rank.margin / GB:,.2f} GB to spare"
        if rank.margin < 0:
            verdict = f"DOES NOT FIT: {-rank.margin / GB:,.2f} GB too much"
        yield Text(f" {verdict}\n", style="green" if rank.margin >= 0 else "bold red")
    if plan.advice:
        yield Text("What to change, one at a time, what costs least first (GB it saves there):")
        for one in plan.advice:
            yield Text(f"  {one.setting} = {one.change}: {one.saves / GB:,.2f}")
        yield Text("")
    yield Text("expected time", style="bold")
    yield _times(plan, plain)
    yield Text(f"\nAssumed: {_assumed(asked)}")


def _times(plan: Plan, plain: Mapping[str, Any]) -> Table:
    step = plan.step
    table = Table(box=None, show_header=False)
    table.add_column("", min_width=30)
    table.add_column("", justify="right")
    rows = {
        "generate, s a step": step.generate,
        "log-probabilities, s a step": step.annotate,
        "update, s a step": step.update,
        "a step, s": step.total,
        "tokens trained a second": plain["trained_tokens_per_second"],
        "tokens generated a second": plain["generated_tokens_per_second"],
        "sequences in flight a sampler": step.in_flight,
        "slots a sampler": plan.sampler.slots,
        "steps": plain["steps"],
        "hours": plain["hours"],
        "GPU-hours": plain["gpu_hours"],
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}")
    return table


def _assumed(asked: Asked) -> str:
    given = asked.assumptions
    parts = [
        f"completions of {given.mean_completion:.0%} of their limit (--mean-completion)",
        f"prompts of {given.mean_prompt:.0%} (--mean-prompt)",
        f"{given.train_efficiency:.0%} of the peak operations (--train-efficiency)",
        f"{given.decode_efficiency:.0%} of the peak bandwidth in decoding (--decode-efficiency)",
        f"{asked.reserved / GB:g} GB for CUDA and communication (--reserved-gb)",
    ]
    if asked.work.dynamic:
        parts.insert(2, f"{given.signal_share:.0%} of groups with a signal (--signal-share)")
    return "; ".join(parts) + ". Not in the time: transfer of weights, grading, communication, checkpoints."

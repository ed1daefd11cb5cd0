"""The `dapo` command. Each subcommand imports what it needs when it runs: `dapo --help` answers at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dapo.cli import data, reward

app = typer.Typer(
    help="Train language models with verifiable rewards by DAPO and its family of algorithms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(data.app, name="data")
app.add_typer(reward.app, name="reward")

RecipePath = Annotated[str, typer.Argument(metavar="RECIPE.yaml", help="What to do. recipes/ holds some.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, such as optimizer.lr=1e-5."),
]


class Names(str, Enum):
    """By whose names an evaluation's figures are printed."""

    dapo = "dapo"
    verl = "verl"


@app.command()
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the latest checkpoint.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Resume with a recipe that differs in what should not change.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and its arithmetic, and stop.")
    ] = False,
) -> None:
    """Train a model by a recipe."""
    from dapo.cli.train import run

    run(recipe, overrides or [], resume, force, dry_run)


@app.command()
def plan(
    recipe: RecipePath,
    overrides: Overrides = None,
    gpus: Annotated[int, typer.Option(help="GPUs in all.")] = 1,
    gpu: Annotated[
        str, typer.Option(help="Which: h100, h200, a100-40, a100-80, b200, l40s, rtx4090.")
    ] = "h100",
    tp: Annotated[int, typer.Option(help="GPUs that share each matrix of the learner.")] = 1,
    dp: Annotated[
        int | None, typer.Option(help="Checked: the learner's GPUs over --tp. May be left out.")
    ] = None,
    samplers: Annotated[
        int | None, typer.Option(help="GPUs that only sample. Left out: all sample and learn in turn.")
    ] = None,
    sampler_tp: Annotated[int, typer.Option(help="GPUs that share a sampler, with --engine vllm.")] = 1,
    engine: Annotated[str, typer.Option(help="What samples: embedded or vllm.")] = "embedded",
    gpu_memory_utilization: Annotated[float, typer.Option(help="vLLM's share of a GPU's memory.")] = 0.9,
    mean_completion: Annotated[
        float, typer.Option(help="Mean length of completions over their limit.")
    ] = 0.4,
    mean_prompt: Annotated[float, typer.Option(help="Mean length of prompts over their limit.")] = 0.25,
    signal_share: Annotated[float, typer.Option(help="Share of groups that carry a signal.")] = 0.5,
    train_efficiency: Annotated[float, typer.Option(help="Of the peak operations, in learning.")] = 0.4,
    decode_efficiency: Annotated[float, typer.Option(help="Of the peak bandwidth, in decoding.")] = 0.6,
    reserved_gb: Annotated[float, typer.Option(help="Of a GPU's memory, for CUDA and communication.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Say what a recipe needs: memory of each rank, whether it fits, and how long it takes.

    Of the model, config.json alone is read.
    """
    from dapo.cli.plan import PlanOptions, run

    layout = (gpus, gpu, tp, dp, samplers, sampler_tp, engine, gpu_memory_utilization)
    assumed = (mean_completion, mean_prompt, signal_share, train_efficiency, decode_efficiency)
    run(recipe, overrides or [], PlanOptions(*layout, assumed, reserved_gb, as_json))


@app.command(name="eval")
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... [KEY=VALUE]...",
            help="Model directories, checkpoints or hub names, or evaluations that were written down: two "
            "are compared. Then settings, such as max_completion_tokens=512.",
        ),
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-t",
            help="A task, a data file or a hub data set, with settings of its own behind commas: "
            "aime24,n=32,limit=10. Several times for several sets.",
        ),
    ] = None,
    completions: Annotated[
        int | None,
        typer.Option(
            "--completions",
            "-n",
            help="Completions per prompt, the k of avg@k. Left out: 4, or as often as the data hold each.",
        ),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Left out: 1. 0 is greedy decoding.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Left out: 1. The DAPO paper validates with 0.7 at temperature 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampling. Left out: 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="The first so many prompts of a set only.")] = None,
    max_completion_tokens: Annotated[int | None, typer.Option(help="Left out: 2048 at most.")] = None,
    names: Annotated[
        Names, typer.Option(help="verl: also print figures by verl's names, from its own bootstrap.")
    ] = Names.dapo,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", "-o", help="Directory to write to. Left out: evals/MODEL-SET."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what lies there, finished or interrupted.")
    ] = False,
) -> None:
    """Measure a model, or compare two: avg@k, pass@k, maj@k with 95 % intervals, and a paired test.

    An evaluation that is interrupted goes on where it was when the same command is given again.
    """
    from dapo.cli.evaluate import EvalOptions, run

    sampling = (completions, temperature, top_p, seed, limit, max_completion_tokens)
    run(models, EvalOptions(task or [], *sampling, names == Names.verl, output, fresh))


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="An evaluation's directory, or a file of a run's rollouts/.")],
    right: Annotated[bool, typer.Option("--right", help="Right ones only.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="Wrong ones only.")] = False,
    truncated: Annotated[bool, typer.Option("--truncated", help="Those cut at their limit.")] = False,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Those without an answer.")] = False,
    ungraded: Annotated[bool, typer.Option("--ungraded", help="Those that could not be graded.")] = False,
    id: Annotated[str | None, typer.Option(help="Those of this prompt.")] = None,
    text: Annotated[str | None, typer.Option(help="Those with this text, in the prompt or after.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many to print.")] = 10,
) -> None:
    """Print completions that were written down, those that all conditions hold for."""
    from dapo.cli.show import ShowOptions, run

    run(path, ShowOptions(right, wrong, truncated, no_answer, ungraded, id, text, most))


@app.command()
def sft(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Warm a base model up on a task's worked demonstrations, where it has no signal yet."""
    from dapo.cli.sft import run

    run(recipe, overrides or [])


def main() -> None:
    """Run the command line. What the user can put right is a message, not a traceback."""
    from dapo.errors import UserError

    try:
        app()
    except UserError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    raise SystemExit(2)

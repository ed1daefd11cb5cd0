"""The `dapo` command. Each subcommand imports what it needs when it runs: `dapo --help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dapo.cli import data

app = typer.Typer(
    help="Train language models with verifiable rewards by DAPO and its family of algorithms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(data.app, name="data")

RecipePath = Annotated[str, typer.Argument(metavar="RECIPE.yaml", help="What to do. recipes/ holds some.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, such as optimizer.lr=1e-5."),
]


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


@app.command(name="eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="A model directory, a checkpoint, or a hub name.")],
    task: Annotated[str, typer.Option("--task", "-t", help="A task, a data file, or a hub data set.")],
    completions: Annotated[int, typer.Option("-n", help="Completions per prompt: the k of avg@k.")] = 4,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory for the JSON and the completions.")
    ] = None,
) -> None:
    """Measure a model: avg@k, pass@k and maj@k with 95 % intervals."""
    from dapo.cli.evaluate import run

    run(model, task, completions, overrides or [], output)


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

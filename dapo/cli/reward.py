"""`dapo reward`: look at rewards before they are trained on. A command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Look at rewards before they are trained on."""


@app.command()
def check(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE.yaml] [KEY=VALUE]...",
            help="A recipe, whose tasks and reward are checked, and settings to change.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-t",
            help="A task or a data file, with settings behind commas: gsm8k,train_path=a.jsonl. Repeatable.",
        ),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(help="In the place of the task's own: math_dapo, or math,window=500, or module:name."),
    ] = None,
    examples: Annotated[int, typer.Option("-n", help="Examples of each task.")] = 500,
    seconds: Annotated[float, typer.Option(help="What a task may take, about.")] = 300.0,
    costly: Annotated[
        bool, typer.Option("--costly", help="Also ask rewards that cost money or the time of a service.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every verdict to look at, not a few of each kind.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Try a reward on gold answers, the same written otherwise, wrong answers, and attacks.

    Exits with 1 if fewer than 99 % of the gold answers score as right.
    """
    from dapo.cli.reward_check import run

    run(arguments or [], task or [], reward, examples, seconds, costly, everything, as_json)

"""`dapo data`: make data to train on, and look at it. Each command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare data, and look at it.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="dapo-math-17k, aime-2024, aime-2025, gsm8k, gsm8k-test, math or math-500 (with =FILE for "
            "a copy of it), a data file, owner/name on the hub, or a .txt list of files as in Yuan3.0.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files: a new or an empty one.")],
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="An evaluation set to look for in the data: as SOURCE. Repeatable."),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the prompts for held_out.parquet.")] = 0.0,
    conflicts: Annotated[
        str, typer.Option(help="A prompt with several answers: drop it, or keep the majority's or the first.")
    ] = "drop",
    contaminated: Annotated[
        str, typer.Option(help="A prompt that shares text with an evaluation set: report it, or drop it.")
    ] = "report",
    min_share: Annotated[
        float,
        typer.Option(help="From which share of an evaluation prompt's 8-grams on a row is contaminated."),
    ] = 0.5,
    language: Annotated[
        str, typer.Option(help="Rows that name no language: auto finds it by script, keep leaves it empty.")
    ] = "auto",
    repair: Annotated[
        bool, typer.Option(help="Put LaTeX commands back that became control characters.")
    ] = True,
    instructions: Annotated[
        bool, typer.Option(help="Put the data set's instructions around problems of a named data set.")
    ] = True,
    prompt: Annotated[str | None, typer.Option(help="Column of the prompt, in files of one's own.")] = None,
    answer: Annotated[str | None, typer.Option(help="Column of the answer, in files of one's own.")] = None,
) -> None:
    """Make one clean parquet file in verl's schema, with a data card, from published data or one's own."""
    from dapo.cli.data_prepare import run

    settings = {
        "held_out": held_out,
        "conflicts": conflicts,
        "contaminated": contaminated,
        "min_share": min_share,
        "language": language,
        "repair": repair,
    }
    columns = {"prompt": prompt, "answer": answer}
    run(sources, out, against or [], settings, columns, instructions)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Data to look at: a file, or as for prepare.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model whose tokenizer and chat template are used.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Chat template: the word plain, a .jinja file, or Jinja text.")
    ] = None,
    max_prompt_tokens: Annotated[int, typer.Option(help="Prompts longer than this are counted.")] = 2048,
    samples: Annotated[int, typer.Option(help="So many prompts are shown as the model reads them.")] = 10,
    prompt: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    answer: Annotated[str | None, typer.Option(help="Column of the answer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show what is in a file, and what a model will see of it."""
    from dapo.cli.data_inspect import run

    run(file, model, template, max_prompt_tokens, samples, {"prompt": prompt, "answer": answer}, as_json)

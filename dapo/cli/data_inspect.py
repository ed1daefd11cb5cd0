"""`dapo data inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from dapo.data.columns import Columns
from dapo.data.inspection import Inspection, Lengths
from dapo.data.progress import bar
from dapo.data.template_audit import Check
from dapo.jobs.inspect import Look, inspect_data
from dapo.recipe.settings import build

_BAR = 40
_COUNTS = ("prompts", "how many")
"""Columns of numbers."""
_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow"}


def run(
    spec: str,
    model: str | None,
    template: str | None,
    max_prompt_tokens: int,
    samples: int,
    columns: Mapping[str, str | None],
    as_json: bool,
) -> None:
    """Look at the data and print what was found: for people, or as one JSON object."""
    named = build(Columns, columns, "")
    with bar() as progress:
        look = inspect_data(
            spec,
            model=model,
            template=template,
            max_prompt_tokens=max_prompt_tokens,
            samples=samples,
            columns=named,
            progress=progress,
        )
    if as_json:
        print(json.dumps(look.plain(), indent=2))
        return
    console = Console()
    show(look, console)


def show(look: Look, console: Console) -> None:
    """Everything, in a terminal with colours and boxes, in a pipe as lines."""
    write = _pretty if console.is_terminal else _plain
    write(look, console)


def _pretty(look: Look, console: Console) -> None:
    for title, header, rows in _sections(look):
        table = Table(title=title, title_justify="left", title_style="bold")
        for name in header:
            table.add_column(name, justify="right" if name in _COUNTS else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row), style=_COLOURS.get(row[1], "") if header[0] == "check" else "")
        console.print(table)
    for sample in look.data.samples:
        tokens = "" if sample.tokens is None else f", {sample.tokens:,} tokens"
        body = f"{escape(_visible(sample.text))}\n[green]answer: {escape(_visible(sample.answer))}[/green]"
        console.print(Panel(body, title=escape(f"{sample.place}{tokens}"), title_align="left"))


def _plain(look: Look, console: Console) -> None:
    for title, header, rows in _sections(look):
        lines = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        print(title)
        for line in lines:
            cells = (
                _padded(cell, width, name) for cell, width, name in zip(line, widths, header, strict=True)
            )
            print(f"  {'  '.join(cells)}".rstrip())
        print()
    for sample in look.data.samples:
        tokens = "" if sample.tokens is None else f", {sample.tokens:,} tokens"
        print(f"--- {sample.place}{tokens}\n{_visible(sample.text)}\nanswer: {_visible(sample.answer)}\n")


def _padded(cell: str, width: int, column: str) -> str:
    return cell.rjust(width) if column in _COUNTS else cell.ljust(width)


Section = tuple[str, Sequence[str], Iterable[Sequence[str]]]


def _sections(look: Look) -> Iterable[Section]:
    data = look.data
    yield "columns", ("column", "rows by type"), _columns(data)
    yield "rows", ("what", "how many"), [(name, f"{count:,}") for name, count in _rows(data)]
    yield "answers", ("what", "how many"), _answers(data)
    yield "labels", ("label", "prompts"), _labels(data)
    for lengths in data.lengths:
        figures = ", ".join(f"{name} {value:,}" for name, value in lengths.quantiles.items())
        yield f"prompt length in {lengths.unit}: {figures}", ("length", "prompts", ""), _histogram(lengths)
    if look.template:
        yield "chat template", ("check", "verdict", "what was found"), _template(look.template)


def _columns(data: Inspection) -> Iterable[Sequence[str]]:
    for name, kinds in data.columns.items():
        yield name, ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())


def _rows(data: Inspection) -> Iterable[tuple[str, int]]:
    yield "rows", data.rows
    for reason, count in data.unusable.items():
        yield f"unusable: {reason} ({data.unusable_examples[reason]})", count
    yield "different prompts", data.prompts
    yield "rows that repeat one", data.repeated_rows
    examples = "; ".join(" and ".join(map(str, rows)) for rows in data.conflict_rows)
    yield "prompts with several answers" + (f" (rows {examples})" if examples else ""), data.conflicts
    yield "prompts with damaged LaTeX commands", data.damaged
    yield "prompts with other control characters", data.control
    if data.max_prompt_tokens is not None:
        yield (
            f"prompts of more than {data.max_prompt_tokens:,} tokens: dropped, or cut if asked",
            data.overlong,
        )
        yield "prompts that hold special tokens", data.with_special_tokens
        refusal = f": {data.refusal}" if data.refusal else ""
        yield f"prompts that the template refuses{refusal}", data.refused


def _answers(data: Inspection) -> Iterable[Sequence[str]]:
    yield "numbers", f"{data.numeric_answers:,}"
    examples = "; ".join(map(_visible, data.other_answer_examples))
    yield "other" + (f", such as {examples}" if examples else ""), f"{data.other_answers:,}"
    yield "characters of the longest", f"{data.longest_answer:,}"


def _labels(data: Inspection) -> Iterable[Sequence[str]]:
    for name, count in data.data_sources.most_common():
        yield f"data_source {name}", f"{count:,}"
    for name, count in data.languages.most_common():
        yield f"language {name or 'unknown'}", f"{count:,}"


def _histogram(lengths: Lengths) -> Iterable[Sequence[str]]:
    most = max(count for *_, count in lengths.histogram)
    for start, end, count in lengths.histogram:
        yield f"{start:,} to {end:,}", f"{count:,}", "#" * round(_BAR * count / most)


def _template(checks: Iterable[Check]) -> Iterable[Sequence[str]]:
    return ((check.name, check.verdict, check.text) for check in checks)


def _visible(text: str) -> str:
    """The text with control characters that would steer the terminal written out."""
    return "".join(
        c if c in "\n\t" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else _escaped(c) for c in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

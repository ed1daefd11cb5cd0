"""`dapo reward check`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dapo.cli.show import visible
from dapo.data.progress import bar
from dapo.errors import UserError
from dapo.grading.check import CheckReport, Finding, Result
from dapo.jobs.reward_check import Checked, CheckOptions, check
from dapo.recipe.settings import build
from dapo.recipe.text import parse_overrides
from dapo.run.files import finite

_FEW = 3
"""Verdicts to look at that are printed of each kind."""
_COLUMNS = ("kind", "answers", "accepted", "wanted", "", "errors", "time-outs", "slowest")
_WANTED = {"right": ">= {:.0%}", "wrong": "0 %", "open": "-"}
_STYLES = {"ok": "green", "FAILED": "bold red", "look": "yellow", "-": "dim"}


def run(
    arguments: Sequence[str],
    tasks: Sequence[str],
    reward: str | None,
    examples: int,
    seconds: float,
    costly: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Check, print what was found, and exit with 1 where it failed."""
    recipes = [text for text in arguments if "=" not in text or Path(text).is_file()]
    if len(recipes) > 1:
        raise UserError(f"one recipe at a time: {', '.join(recipes)}")
    settings = {
        "recipe": next(iter(recipes), None),
        "tasks": list(tasks),
        "reward": reward,
        "examples": examples,
        "seconds": seconds,
        "costly": costly,
    }
    overrides = parse_overrides(text for text in arguments if text not in recipes)
    with bar() as progress:
        checked = check(build(CheckOptions, settings, ""), overrides, progress)
    if as_json:
        print(json.dumps(finite(_plain(checked, everything)), indent=2))
    else:
        _show(checked, everything, Console(highlight=False))
    if not checked.passed:
        raise SystemExit(1)


def _show(checked: Checked, everything: bool, console: Console) -> None:
    """In a terminal with colours and boxes, in a pipe as lines."""
    for report in checked.reports:
        console.print(Text(f"{report.task}, graded by {report.reward}", style="bold"), soft_wrap=True)
        rows = [_row(result, checked.least) for result in report.results if result.answers]
        if console.is_terminal:
            console.print(_table(rows))
        else:
            print(_lines(rows))
        for line in _remarks(report):
            console.print(Text(f"  {line}"), soft_wrap=True)
        for result in report.results:
            for line in _findings(result, everything):
                console.print(Text(line), soft_wrap=True)
        console.print()
    if checked.shaping:
        console.print(Text("shaping", style="bold"))
        for line in checked.shaping:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _row(result: Result, least: float) -> tuple[str, ...]:
    wanted = _WANTED[result.kind.wanted].format(least)
    counts = (f"{result.errors:,}", f"{result.timeouts:,}", _seconds(result.slowest))
    share = f"{result.accepted:,} ({result.share:.1%})"
    return (result.kind.name, f"{result.answers:,}", share, wanted, _verdict(result, least), *counts)


def _verdict(result: Result, least: float) -> str:
    if result.kind.wanted == "open":
        return "-"
    if result.kind.wanted == "wrong":
        return "ok" if result.accepted == 0 else "look"
    return "FAILED" if result.share < least else "ok"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table()
    for place, name in enumerate(_COLUMNS):
        table.add_column(name, justify="right" if place in (1, 2, 5, 6, 7) else "left")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [_COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(
            cell.rjust(width) if place in (1, 2, 5, 6, 7) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _remarks(report: CheckReport) -> Iterator[str]:
    where = f"{report.workers} workers" if report.workers else "this process"
    yield f"{report.examples:,} examples, {report.answers_per_second:,.0f} answers a second in {where}"
    yield from report.notes
    if report.made_up:
        yield (
            "the task has no gold_completion: golds were made up, `Answer: ` and the answer; a reward that "
            "asks for something else refuses them"
        )
    if report.without_gold:
        yield f"of {report.without_gold:,} examples no gold completion is known: they were left out"
    for result in report.results:
        if result.left_out:
            yield f"no time was left for the {result.kind.name} answers of {result.left_out:,} examples"
    if report.executed:
        yield f"CODE IN AN ANSWER WAS EXECUTED: it wrote the files {', '.join(report.executed)}"
    elif any(result.kind.name == "adversarial" and result.answers for result in report.results):
        yield "no code in an answer was executed"
    for result in report.results:
        if result.answers and (result.kind.wanted == "open" or result.findings):
            yield f"{result.kind.name}: {_by_share(result)}"


def _by_share(result: Result) -> str:
    """The names of the probes that were all accepted, of those accepted in part, and of the others.

    The last are left out where all are to be refused.
    """
    shares = {name: accepted / count for name, (count, accepted) in result.by_name.items()}
    groups = {
        "accepted": [name for name, share in shares.items() if share == 1],
        "in part": [f"{name} ({share:.1%})" for name, share in shares.items() if 0 < share < 1],
        "refused": [name for name, share in shares.items() if share == 0 and result.kind.wanted != "wrong"],
    }
    return "; ".join(f"{word} {', '.join(names)}" for word, names in groups.items() if names)


def _findings(result: Result, everything: bool) -> Iterator[str]:
    """Those of the kinds that have to be right or wrong; of the others only where all are wanted."""
    if not result.findings or (result.kind.wanted == "open" and not everything):
        return
    what = "accepted" if result.kind.wanted == "wrong" else "refused"
    shown = result.findings if everything else _few(result.findings)
    yield f"  {result.kind.name}: {len(result.findings):,} {what}" + (
        f", {len(shown)} of them:" if len(shown) < len(result.findings) else ":"
    )
    for one in shown:
        read = "" if one.extracted is None else f", read {visible(one.extracted)!r}"
        reason = "" if one.error is None else f", not graded: {visible(one.error)}"
        yield (
            f"    {one.probe} [{visible(one.id)}]: gold {visible(one.gold)!r}, score {one.score:g}"
            f"{read}{reason}\n      {_one_line(one.text)}"
        )


def _few(findings: Iterable[Finding]) -> list[Finding]:
    """The first of each probe, then others."""
    firsts: dict[str, Finding] = {}
    for finding in findings:
        firsts.setdefault(finding.probe, finding)
    return [*firsts.values(), *(one for one in findings if one not in firsts.values())][:_FEW]


def _one_line(text: str) -> str:
    return visible(text).replace("\n", "\\n").replace("\t", "\\t") or "(empty)"


def _plain(checked: Checked, everything: bool) -> dict[str, Any]:
    return {
        "passed": checked.passed,
        "min_gold_share": checked.least,
        "tasks": [_plain_report(report, everything) for report in checked.reports],
        "shaping": checked.shaping,
    }


def _plain_report(report: CheckReport, everything: bool) -> dict[str, Any]:
    kinds = {
        result.kind.name: {
            "wanted": result.kind.wanted,
            **{name: value for name, value in vars(result).items() if name not in ("kind", "findings")},
            "by_name": {name: list(counts) for name, counts in result.by_name.items()},
            "findings": [vars(one) for one in (result.findings if everything else _few(result.findings))],
        }
        for result in report.results
    }
    return {
        **{name: value for name, value in vars(report).items() if name != "results"},
        "answers_per_second": report.answers_per_second,
        "kinds": kinds,
    }

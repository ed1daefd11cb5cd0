"""Evaluations and comparisons of them as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dapo.core.comparison import Comparison
from dapo.core.intervals import Interval, average_interval
from dapo.evaluation import Evaluation
from dapo.jobs.eval_comparison import Compared, average_difference
from dapo.jobs.evaluations import Measured

_STRIP = 25
_LENGTH = "completion/mean_tokens"
_NAMES = {
    _LENGTH: "tokens",
    "completion/truncated_share": "cut at the limit",
    "reward/no_answer_share": "no answer found",
    "reward/ungraded_share": "not graded",
}
_SHARES = [name for name in _NAMES if name != _LENGTH]
_LEGEND = "tokens: mean length; cut: at the limit; none: no answer; fail: not graded"


def one_set(measured: Measured, unicode: bool) -> RenderableType:
    """All figures of one evaluation, a line each."""
    evaluation = measured.evaluation
    scale = "0" + " " * (_STRIP - 2) + "1" if unicode else ""
    table = _table(("", "left"), ("value", "right"), ("95 % interval", "right"), (scale, "left"), gap=2)
    for name in _worth_a_line(evaluation):
        value, interval = evaluation.metrics[name], evaluation.intervals[name]
        is_length = name == _LENGTH
        strip = _strip(value, interval) if unicode and not is_length and interval is not None else Text()
        title = Text(_NAMES.get(name, name), style="bold" if name == f"avg@{evaluation.k}" else "")
        table.add_row(title, _number(value, is_length), _ends(interval, " to ", is_length), strip)
    parts: list[RenderableType] = [heading([measured]), Padding(table, (1, 0, 0, 2))]
    if len(evaluation.by_source()) > 1:
        parts.append(Padding(several_sets([measured]), (1, 0, 0, 0)))
    return Group(*parts)


def _worth_a_line(evaluation: Evaluation) -> list[str]:
    """The figures without those that say the same as another, or nothing."""
    k, values = evaluation.k, evaluation.per_prompt
    silent = {f"maj@{k}"} if k == 1 or not evaluation.finds_answers else set()
    for name, same in (("pass@1", f"avg@{k}"), (f"best@{k}", f"pass@{k}")):
        if name in values and np.array_equal(values[name], values[same]):
            silent.add(name)  # no score between 0 and 1
    return [name for name in values if name not in silent]


def heading(measured: Sequence[Measured]) -> Text:
    """Which model was measured on what, and how: in a line for all sets where that is the same."""
    text = Text(measured[0].model, style="bold")
    if len(measured) == 1:
        text.append(" on ", style="not bold").append(measured[0].name)
    facts = [_facts(one) for one in measured]
    if len(measured) > 1 and len(set(facts)) == 1:
        return text.append("\n" + facts[0], style="dim not bold")
    for one, how in zip(measured, facts, strict=True):
        size = f"{len(one.evaluation.groups):,} prompts x {one.evaluation.k} completions"
        name = f"{one.name}: " if len(measured) > 1 else ""
        text.append("\n" + name + ", ".join([size, *([how] if how else [])]), style="dim not bold")
    return text


def _facts(measured: Measured) -> str:
    asked = measured.asked
    if not asked:
        return ""
    cut = [f"top-k {asked['top_k']}"] if asked["top_k"] else []
    limit = f"at most {asked['max_completion_tokens']:,} tokens"
    sampling = [f"temperature {asked['temperature']:g}", f"top-p {asked['top_p']:g}", *cut]
    return ", ".join([*sampling, f"seed {asked['seed']}", limit])


def several_sets(measured: Sequence[Measured]) -> RenderableType:
    """A row for each set, for each source of prompts within one, and for the average over sets."""
    columns = [("set", "left"), ("prompts", "right"), ("k", "right")]
    columns += [(name, "right") for name in ("avg@k", "pass@k", "maj@k", "tokens", "cut", "none", "fail")]
    table = _table(*columns)
    for one in measured:
        _add(table, Text(one.name), one.evaluation)
        sources = one.evaluation.by_source()
        for source, part in sources.items() if len(sources) > 1 else ():
            _add(table, Text(f"  {source or 'no source'}", style="dim"), part)
    if len(measured) > 1:
        table.add_row(*_average([one.evaluation for one in measured]))
    return Group(Padding(table, (0, 0, 0, 2)), Text(f"  {_LEGEND}", style="dim"))


def comparison(compared: Sequence[Compared]) -> RenderableType:
    """How far the second model is from the first, set by set and figure by figure."""
    first, second = compared[0].first, compared[0].second
    names = Text.assemble(("A ", "bold cyan"), first.model, "\n", ("B ", "bold cyan"), second.model)
    titles = ("set", "", "A", "B", "B - A", "95 % interval", "p", "wins", "losses", "ties")
    table = _table(*[(title, "left" if place < 2 else "right") for place, title in enumerate(titles)])
    for one in compared:
        for place, (name, found) in enumerate(one.figures.items()):
            table.add_row(Text("" if place else one.name), *_compared_cells(name, found))
    parts: list[RenderableType] = [names, Padding(table, (1, 0, 0, 2))]
    if len(compared) > 1:
        parts.append(_average_line(compared))
    parts += [Text(f"  {line}", style="dim") for line in _explanations(compared)]
    return Group(*parts)


def _compared_cells(name: str, found: Comparison) -> list[Text]:
    is_length = name == _LENGTH
    significant = found.p_value < 0.05
    better = "" if is_length or not significant else "bold green" if found.difference > 0 else "bold red"
    counts = ["", "", ""] if is_length else [str(n) for n in (found.wins, found.losses, found.ties)]
    return [
        Text(_NAMES.get(name, name)),
        _number(found.first, is_length),
        _number(found.second, is_length),
        Text(f"{found.difference:+,.1f}" if is_length else f"{found.difference:+.3f}", style=better),
        _ends(found.interval, " to ", is_length, signed=True),
        Text(_p(found), style="bold" if significant else ""),
        *map(Text, counts),
    ]


def _average_line(compared: Sequence[Compared]) -> Text:
    mains = [next(iter(one.figures.values())) for one in compared]
    text = f"  average over {len(compared)} sets: {average_difference(compared):+.3f}"
    intervals = [found.interval for found in mains if found.interval is not None]
    if len(intervals) == len(mains):
        both = average_interval([found.difference for found in mains], intervals)
        text += f", 95 % interval {both.low:+.3f} to {both.high:+.3f}"
    return Text(text, style="bold")


def _explanations(compared: Sequence[Compared]) -> list[str]:
    lines = [
        "interval: bootstrap over prompts, in pairs",
        "p: permutation test over prompts, in pairs, two-sided",
    ]
    if any(not found.exact for one in compared for found in one.figures.values()):
        lines.append("~: estimated from random permutations")
    for one in compared:
        if one.first.evaluation.k == one.second.evaluation.k == 1:
            found = one.figures["avg@1"]
            lines.append(
                f"{one.name}: McNemar's exact test on {found.wins + found.losses} prompts that only one got "
                f"right: p = {found.mcnemar:.3g}"
            )
    of_all = [note for note in compared[0].notes if all(note in one.notes for one in compared)]
    for one in compared:
        lines += [f"{one.name}: {note}" for note in one.notes if note not in of_all]
    return lines + of_all


def _p(found: Comparison) -> str:
    text = "<0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
    return text if found.exact else f"~{text}"


def _add(table: Table, name: Text, evaluation: Evaluation) -> None:
    k, metrics = evaluation.k, evaluation.metrics
    cells = [_cell(metrics[f"avg@{k}"], evaluation.intervals[f"avg@{k}"])]
    for kind in ("pass", "maj"):
        says = k > 1 and (kind == "pass" or evaluation.finds_answers)
        figure = f"{kind}@{k}"
        cells.append(_cell(metrics[figure], evaluation.intervals[figure]) if says else Text("-"))
    shares = [Text(f"{metrics[share]:.0%}") for share in _SHARES]
    table.add_row(
        name, f"{len(evaluation.groups):,}", str(k), *cells, _number(metrics[_LENGTH], True), *shares
    )


def _average(evaluations: Sequence[Evaluation]) -> list[Text]:
    """Each set counts the same. pass@k and maj@k only where all have the same k."""
    cells = []
    alike = len({evaluation.k for evaluation in evaluations}) == 1 and evaluations[0].k > 1
    for kind in ("avg", "pass", "maj"):
        says = kind == "avg" or (alike and (kind == "pass" or all(e.finds_answers for e in evaluations)))
        if not says:
            cells.append(Text("-"))
            continue
        means = [e.metrics[f"{kind}@{e.k}"] for e in evaluations]
        found = [e.intervals[f"{kind}@{e.k}"] for e in evaluations]
        intervals = [interval for interval in found if interval is not None]
        cells.append(_cell(sum(means) / len(means), average_interval(means, intervals)))
    return [Text("average", style="bold"), Text(""), Text(""), *cells]


def _cell(value: float, interval: Interval | None) -> Text:
    return Text.assemble(f"{value:.3f}\n", (_ends(interval, "-").plain, "dim"))


def _number(value: float, is_length: bool) -> Text:
    return Text(f"{value:,.1f}" if is_length else f"{value:.3f}")


def _ends(interval: Interval | None, between: str, is_length: bool = False, signed: bool = False) -> Text:
    if interval is None:
        return Text("-", style="dim")
    sign = "+" if signed else ""
    layout = f"{{:{sign},.1f}}" if is_length else f"{{:{sign}.3f}}"
    return Text(between.join(layout.format(end) for end in (interval.low, interval.high)), style="dim")


def _strip(value: float, interval: Interval) -> Text:
    """The interval on a line from 0 to 1."""
    low, mid, high = (min(_STRIP - 1, int(place * _STRIP)) for place in (interval.low, value, interval.high))
    text = Text()
    for place in range(_STRIP):
        inside = low <= place <= high
        sign = "●" if place == mid else "━" if inside else "·"
        text.append(sign, style="bold cyan" if place == mid else "cyan" if inside else "dim")
    return text


def _table(*columns: tuple[str, str], gap: int = 1) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="dim", pad_edge=False)
    for place, (title, side) in enumerate(columns):
        justify: JustifyMethod = "left" if side == "left" else "right"
        table.add_column(title, justify=justify, no_wrap=place > 0, overflow="ellipsis" if place else "fold")
    return table

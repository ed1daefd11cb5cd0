"""Gold completions written otherwise: what is still right to a reader, and to a tolerant reward."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from dapo.grading.probes import forms
from dapo.grading.probes.case import Case, Probe
from dapo.grading.probes.forms import Form

_MARKER = re.compile(r"answer(?=\s*:|>)", re.IGNORECASE)
_COLON = re.compile(r"(answer):[ \t]*", re.IGNORECASE)


def gold(case: Case) -> Iterator[Probe]:
    yield Probe("the gold completion", case.gold)


def formatted(case: Case) -> Iterator[Probe]:
    """Ornaments around the answer, and its marker and line ends written otherwise."""
    boxed = "\\boxed{" in (case.stating(case.answer) or "")
    inside = forms.blanks if boxed else forms.ornaments
    yield from _stated(case, [*inside(case.answer), *forms.words(case.answer)])
    for name, text in _around(case.gold):
        if text != case.gold:
            yield Probe(name, text)


def _around(text: str) -> Iterator[Form]:
    yield "marker in lower case", _MARKER.sub("answer", text)
    yield "marker in upper case", _MARKER.sub("ANSWER", text)
    yield "no blank after the colon", _COLON.sub(r"\1:", text)
    yield "blank before the colon", _COLON.sub(r"\1 : ", text)
    yield "bold marker", _COLON.sub(r"**\1:** ", text)
    yield "bold marker, colon outside", _COLON.sub(r"**\1**: ", text)
    yield "line end after the colon", _COLON.sub(r"\1:\n", text)
    yield "Final Answer:", _COLON.sub("Final Answer: ", text)
    yield "blank lines behind", f"{text}\n\n"
    yield "carriage returns", f"{text}\n".replace("\n", "\r\n")


def restated(case: Case) -> Iterator[Probe]:
    """The answer stated in another way than the task asks for."""
    if case.stating(case.answer) is None or not case.answer.strip():
        return
    lines = case.gold.split("\n")
    for name, statement in (
        ("Answer: ...", f"Answer: {case.answer}"),
        ("\\boxed{...}", f"\\boxed{{{case.answer}}}"),
        ("Answer: $\\boxed{...}$", f"Answer: $\\boxed{{{case.answer}}}$"),
        ("The final answer is ...", f"The final answer is {case.answer}."),
        ("#### ...", f"#### {case.answer}"),
        ("<answer>...</answer>", f"<answer>{case.answer}</answer>"),
        ("the answer alone", case.answer),
    ):
        text = "\n".join([*lines[:-1], statement])
        if text != case.gold:
            yield Probe(name, text)


def numbers(case: Case) -> Iterator[Probe]:
    """Numbers spelt otherwise."""
    return _stated(case, forms.numbers(case.answer))


def units(case: Case) -> Iterator[Probe]:
    """Numbers with a unit."""
    return _stated(case, forms.units(case.answer))


def latex(case: Case) -> Iterator[Probe]:
    """Formulas in other LaTeX."""
    return _stated(case, forms.latex(case.answer))


def _stated(case: Case, found: Iterable[Form]) -> Iterator[Probe]:
    for name, answer in found:
        text = case.stating(answer)
        if text is not None and text != case.gold:
            yield Probe(name, text)


FAMILIES: dict[str, Callable[[Case], Iterable[Probe]]] = {
    "format": formatted,
    "statement": restated,
    "number": numbers,
    "unit": units,
    "LaTeX": latex,
}
"""What is changed, by the name it has in reports."""

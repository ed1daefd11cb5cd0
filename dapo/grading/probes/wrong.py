"""Wrong answers, written as right ones are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dapo.grading.probes.case import Case, Probe
from dapo.grading.probes.forms import Form

_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.(?P<decimals>[0-9]{1,40}))?")


def wrong(case: Case) -> Iterator[Probe]:
    """Other answers in the place of the gold one."""
    if (text := _other_gold(case)) is not None:
        yield Probe("the gold of another example", text)
    found = [*near(case.answer), *_letter(case)]
    for name, answer in found:
        if (text := case.stating(answer)) is not None:
            yield Probe(name, text)
    if (text := misled(case)) is not None:
        yield Probe("the gold on the way, then another answer", f"This gives {case.answer} here.\n{text}")


def misled(case: Case) -> str | None:
    """A completion like the gold one that ends in a wrong answer."""
    answer = wrong_answer(case)
    text = None if answer is None else case.stating(answer)
    return _other_gold(case) if text is None else text


def _other_gold(case: Case) -> str | None:
    return None if case.other is None else case.golds.text(case.other)


def wrong_answer(case: Case) -> str | None:
    """One that somebody might give."""
    for _, answer in (*near(case.answer), *_letter(case)):
        return answer
    return None if case.other is None or case.other.answer == case.answer else case.other.answer


def near(answer: str) -> Iterator[Form]:
    """Numbers next to the answer, where it is a number, and a formula that is one more."""
    match = _NUMBER.fullmatch(answer)
    if match is None:
        if "\\" in answer and not re.search(r"\\text|\\mbox|[,=]", answer):
            yield "one more", f"{answer}+1"
        return
    places = len(match["decimals"] or "")
    units = int(answer.replace(".", ""))
    yield "one more", _decimal(units + 1, places)
    yield "one less", _decimal(units - 1, places)
    if units:
        yield "the other sign", _decimal(-units, places)
        yield "ten times", _decimal(10 * units, places)


def _decimal(units: int, places: int) -> str:
    digits = f"{abs(units):0{places + 1}d}"
    number = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{number}" if units < 0 else number


def _letter(case: Case) -> Iterator[Form]:
    """The letter of another option."""
    answer = case.answer.strip()
    if len(answer) == 1 and "A" <= answer <= "Z":
        yield "another letter", "A" if answer != "A" else "B"

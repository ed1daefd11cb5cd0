"""Before a training: do the gold answers score as right? Where they do not, the run would train on errors."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from dapo.errors import UserError
from dapo.grading.check import completion_of, sample, shortened
from dapo.grading.composition import RIGHT
from dapo.grading.grader import Grader
from dapo.grading.probes.golds import Golds
from dapo.grading.settings import GradingSettings
from dapo.types import Example, Score

_SECONDS = 20.0
"""What the golds of a source may take. The share is that of those graded by then."""
_ROUNDING = 1e-9
_NAMED = 3
"""Golds that an error shows."""


def require_golds(
    name: str, task: object, examples: Iterable[Example], grader: Grader, settings: GradingSettings
) -> list[str]:
    """Grades the gold completions of a sample of examples. Returns what there is to note.

    Costly rewards are not asked, nor are tasks that know no gold completions.

    Raises UserError where the share of those that are right is below `settings.min_gold_share`.
    """
    if settings.check_golds == 0:
        return []
    of = f" of {name}" if name else ""
    writer = Golds(task)
    if writer.made_up:
        return [f"golds{of} were not checked: the task has no gold_completion"]
    if grader.costly:
        return [f"golds{of} were not checked: the verdicts of {grader.name} are costly"]
    if grader.chooses:
        return [f"golds{of} were not checked: each row chooses its reward; try `dapo reward check`"]
    found = [(example, writer.text(example)) for example in sample(examples, settings.check_golds)]
    known = [(example, text) for example, text in found if text is not None]
    graded = _grade(known, grader)
    grader.take_tally()  # The metrics of the run are of its own answers.
    failed = [one for one in graded if one[2].score < RIGHT]
    if graded and 1 - len(failed) / len(graded) < settings.min_gold_share - _ROUNDING:
        raise UserError(_refusal(of, len(graded), failed, grader, settings))
    return [] if graded else [f"golds{of} were not checked: the task knows none for its examples"]


Graded = tuple[Example, str, Score]


def _grade(golds: list[tuple[Example, str]], grader: Grader) -> list[Graded]:
    deadline = time.monotonic() + _SECONDS

    def grade(gold: tuple[Example, str]) -> list[Graded]:
        if time.monotonic() > deadline:
            return []
        example, text = gold
        [score] = grader.grade([completion_of(text)], example)
        return [(example, text, score)]

    with ThreadPoolExecutor(grader.threads) as threads:
        return [one for graded in threads.map(grade, golds) for one in graded]


def _refusal(of: str, count: int, failed: list[Graded], grader: Grader, settings: GradingSettings) -> str:
    share, least = (count - len(failed)) / count, settings.min_gold_share
    shown = "".join(f"\n  {_words(*one)}" for one in failed[:_NAMED])
    return (
        f"grading: {share:.1%} of {count} gold answers{of} score as right under {grader.name}; "
        f"grading.min_gold_share asks for {least:.0%}, for otherwise a policy that answers as the data do is "
        f"told that it is wrong.{shown}\n"
        "See more of them with `dapo reward check RECIPE.yaml`. Then name a reward that fits the task, or "
        "mend the task's gold_completion. Where the reward asks for something else than the gold answers, "
        "and is meant to, set grading.check_golds=0"
    )


def _words(example: Example, text: str, score: Score) -> str:
    found = "" if score.answer is None else f", {shortened(score.answer, 60)!r} was read"
    became = found if score.error is None else f", it could not be graded: {shortened(score.error, 200)}"
    return (
        f"{shortened(example.id, 60)}: answer {shortened(example.answer, 60)!r}, gold completion "
        f"{shortened(text, 120)!r}: score {score.score:g}{became}"
    )

"""`dapo reward check`: rewards, tried on examples of the tasks that they are to grade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dapo.data.progress import Progress, silent
from dapo.data.table import Table
from dapo.errors import UserError
from dapo.grading.check import CheckReport, check_reward, sample
from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.jobs.eval_sets import short_name, spec_values
from dapo.recipe.config import Recipe, load_recipe
from dapo.recipe.lint import shaping_report
from dapo.recipe.resolve import reward_from, task_from
from dapo.recipe.settings import build
from dapo.recipe.text import RecipeError
from dapo.types import Example


@dataclass(frozen=True)
class CheckOptions:
    """What is to be checked, and how thoroughly."""

    recipe: str | None = None
    """A recipe, whose tasks and reward are checked."""
    tasks: Sequence[str] = ()
    """In the place of the recipe's: tasks with settings behind commas."""
    reward: str | None = None
    """In the place of the recipe's and of the tasks' own."""
    examples: int = 500
    """How many of each task."""
    seconds: float = 300.0
    """What a task may take, about."""
    costly: bool = False
    """Whether rewards may be asked that cost money or the time of a service."""

    def __post_init__(self) -> None:
        if self.examples < 1 or not self.seconds > 0:
            raise ValueError("-n must be at least 1, and --seconds greater than 0")


@dataclass
class Checked:
    """What was found of all tasks."""

    reports: list[CheckReport]
    least: float
    """The share of the golds that must be right."""
    shaping: list[str] = field(default_factory=list)
    """What the shaping of the recipe can do, in words."""

    @property
    def passed(self) -> bool:
        return all(report.passed(self.least) for report in self.reports)


_Choice = Callable[[Any], tuple[Iterable[Example], list[str]]]
"""The examples of a task that are of interest, and what to note of them."""


@dataclass(frozen=True)
class _Subject:
    """A task to be checked, and which of its examples."""

    label: str
    task: Any
    reward: Any
    examples: _Choice


def check(options: CheckOptions, overrides: Mapping[str, Any], progress: Progress = silent) -> Checked:
    """Check every task.

    Args:
        overrides: settings of the recipe; without a recipe those of `grading` only.

    Raises UserError for what has to be put right, such as a reward that is no reward.
    """
    recipe = None if options.recipe is None else load_recipe(options.recipe, overrides)
    grading = _grading(overrides) if recipe is None else recipe.grading
    subjects = _subjects(options, recipe)
    with Workers(grading) as workers:
        reports = [_check(subject, options, grading, workers, progress) for subject in subjects]
    shaping = None if recipe is None or options.reward is not None else shaping_report(recipe)
    return Checked(reports, grading.min_gold_share, [] if shaping is None else shaping.lines())


def _check(
    subject: _Subject, options: CheckOptions, grading: GradingSettings, workers: Workers, progress: Progress
) -> CheckReport:
    grader = Grader(subject.reward, grading.error_score, workers)
    if grader.costly and not options.costly:
        raise UserError(
            f"the verdicts of {grader.name} are costly, and a check asks for some 50 on each of "
            f"{options.examples} examples; say --costly to ask for them, and lower -n"
        )
    found, notes = subject.examples(subject.task)
    examples = sample(found, options.examples)
    if not examples:
        raise UserError(f"{subject.label}: the task has no examples to check")
    report = CheckReport(subject.label, grader.name, notes=[*notes, *grader.notes])
    report.workers = len(workers) if grader.in_workers else 0
    told: Progress = lambda stage, done, total: progress(f"{subject.label}: {stage}", done, total)  # noqa: E731
    return check_reward(report, subject.task, examples, grader, options.seconds, told)


def _subjects(options: CheckOptions, recipe: Recipe | None) -> list[_Subject]:
    own = None if options.reward is None else reward_from(_reward_spec(options.reward), "--reward")
    if own is None and recipe is not None and recipe.reward is not None:
        own = reward_from(recipe.reward)
    if options.tasks:
        return [_of_text(text, own) for text in options.tasks]
    if recipe is None:
        raise UserError("name what to check: a recipe, or a task, as in dapo reward check --task gsm8k")
    data = recipe.data
    sources = [("", data.train)] if data.train is not None else [(one.name, one.task) for one in data.sources]
    subjects = [_subject(name, spec, own, _trained_on) for name, spec in sources]
    if data.eval is not None:
        subjects.append(_subject("", data.eval, own, _measured_on))
    return subjects


def _reward_spec(text: str) -> dict[str, Any]:
    values = spec_values(text, "reward")
    return {"name": values.pop("reward"), **values} if "reward" in values else values


def _of_text(text: str, own: Any) -> _Subject:
    values = spec_values(text)
    if own is None and "reward" in values:
        own = reward_from(values["reward"], f"--task {text!r}: reward")
    return _subject("", {key: value for key, value in values.items() if key != "reward"}, own, _any)


def _subject(name: str, spec: Any, own: Any, examples: _Choice) -> _Subject:
    named = spec if isinstance(spec, str) else spec.get("task", spec.get("path", ""))
    task = task_from(spec, "--task")
    return _Subject(name or short_name(str(named)), task, task.reward if own is None else own, examples)


def _trained_on(task: Any) -> tuple[Iterable[Example], list[str]]:
    return task.stream() if isinstance(task, Table) else task.train(), []


def _measured_on(task: Any) -> tuple[Iterable[Example], list[str]]:
    return task.eval() or task.train(), []


def _any(task: Any) -> tuple[Iterable[Example], list[str]]:
    """The training examples, or the held-out ones of a task that has no others."""
    try:
        return _trained_on(task)
    except UserError as reason:
        try:
            return task.eval(), [f"the examples are held-out ones: {reason}"]
        except UserError:
            raise reason from None


def _grading(overrides: Mapping[str, Any]) -> GradingSettings:
    settings = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if section != "grading" or not name:
            raise RecipeError(f"{key}: without a recipe there are settings of grading only")
        settings[name] = value
    return build(GradingSettings, settings, "grading")

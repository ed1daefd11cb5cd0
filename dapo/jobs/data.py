"""The prompts of a run and what grades them, from what its recipe says about data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dapo.data.progress import bar
from dapo.data.prompts import SourcePlan, build_prompts, build_sources
from dapo.data.report import DataReport
from dapo.data.source import Source
from dapo.data.stream import PromptStream
from dapo.data.table import Table
from dapo.data.token_cache import TokenCache
from dapo.grading.gate import require_golds
from dapo.grading.grader import Grader, SourceGrader
from dapo.grading.quarantine import Quarantine
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.recipe.config import Recipe, SourceSettings
from dapo.recipe.resolve import reward_from, task_from
from dapo.text import TextCodec
from dapo.types import Prompt


@dataclass(frozen=True)
class TrainingSource:
    """Where prompts come from, and what grades the completions."""

    source: Source
    task: Any
    grader: Grader


@dataclass
class RunData:
    """What a run trains and is measured on."""

    stream: PromptStream
    grader: Grader | SourceGrader
    eval_prompts: list[Prompt]
    eval_grader: Grader | None
    """None where nothing is held out."""
    sources: list[TrainingSource]
    reports: list[str]
    """What became of the rows, a line for each source, and what to know of the rewards."""
    workers: Workers
    """The processes that grade; `close` ends them."""
    quarantine: Quarantine
    """Writes down what could not be graded in training, once it has a path."""

    def require_golds(self, settings: GradingSettings) -> None:
        """Grade a sample of the gold answers of each source; what there is to note joins the reports.

        Raises UserError where too few are right.
        """
        for one in self.sources:
            examples = (prompt.example for prompt in one.source.prompts)
            self.reports += require_golds(one.source.name, one.task, examples, one.grader, settings)


def run_data(recipe: Recipe, codec: TextCodec) -> RunData:
    """Read, tokenise and check everything. Rewards that run in processes of their own are loaded there.

    Raises UserError for what has to be put right.
    """
    workers = Workers(recipe.grading)
    try:
        return _run_data(recipe, codec, workers, Quarantine())
    except BaseException:
        workers.close()
        raise


def _run_data(recipe: Recipe, codec: TextCodec, workers: Workers, quarantine: Quarantine) -> RunData:
    def grader(reward: Any) -> Grader:
        return Grader(reward, recipe.grading.error_score, workers, quarantine)

    sources = _sources(recipe)
    tasks = [task_from(source.task, "data.train") for source in sources]
    plans = [_plan(recipe, source, task) for source, task in zip(sources, tasks, strict=True)]
    with bar() as progress:
        built, reports = build_sources(plans, codec, TokenCache.of_user(), progress)
    stream = PromptStream(built, seed=recipe.seed, mixing=recipe.data.mixing)
    own = None if recipe.reward is None else reward_from(recipe.reward)
    shared = None if own is None else grader(own)
    graders = [shared or grader(task.reward) for task in tasks]
    eval_task = _eval_task(recipe, tasks)
    prompts = [] if eval_task is None else eval_prompts(recipe, eval_task, codec)
    training = shared or _grader(stream, sources, graders)
    evaluating = grader(own or eval_task.reward) if eval_task is not None else None
    graded = training.prepare(prompt.example for source in built for prompt in source.prompts)
    if evaluating is not None:
        evaluating.prepare(prompt.example for prompt in prompts)
    return RunData(
        stream,
        training,
        prompts,
        evaluating,
        [TrainingSource(*one) for one in zip(built, tasks, graders, strict=True)],
        [
            *(report.summary() for report in reports),
            *_thinking_notes(reports, codec),
            *([graded_by(graded)] if training.chooses else []),
            *training.notes,
        ],
        workers,
        quarantine,
    )


def eval_prompts(recipe: Recipe, task: Any, codec: TextCodec) -> list[Prompt]:
    """The prompts to evaluate on: the held-out examples, or all of a task named for this purpose.

    None where the training task holds nothing out.
    """
    examples = task.eval() or ([] if recipe.data.eval is None else task.train())
    if not examples:
        return []
    tokens = recipe.eval.max_completion_tokens or recipe.max_completion_tokens
    prompts, _ = build_prompts(examples, codec, recipe.max_prompt_tokens, tokens, recipe.eval.limit)
    return prompts


def _thinking_notes(reports: Sequence[DataReport], codec: TextCodec) -> list[str]:
    """What to know where rows ask for thoughts, and the model does not hear of it."""
    told = any(report.thoughtful or report.thoughtless for report in reports)
    if not told or codec.asks_for_thoughts:
        return []
    return [
        "the chat template does not look at enable_thinking: prompts that ask for thoughts read like those "
        "that ask for none; set model.template to one that does"
    ]


def graded_by(count: Counter[str]) -> str:
    """How many prompts each reward grades, in words."""
    rewards = Counter[str]()
    for name, prompts in count.items():
        rewards[_OWN_REWARD.sub(r"\1", name)] += prompts
    parts = [f"{prompts:,} by {name}" for name, prompts in rewards.most_common()]
    return f"graded as their columns say: {', '.join(parts)}"


_OWN_REWARD = re.compile(r"^dapo\.rewards\.(\w+):Reward")


def _sources(recipe: Recipe) -> Sequence[SourceSettings]:
    if recipe.data.train is None:
        return recipe.data.sources
    return [SourceSettings(recipe.data.train, "")]


def _plan(recipe: Recipe, source: SourceSettings, task: Any) -> SourcePlan:
    return SourcePlan(
        examples=task.stream() if isinstance(task, Table) else task.train(),
        max_prompt_tokens=source.max_prompt_tokens or recipe.max_prompt_tokens,
        max_completion_tokens=source.max_completion_tokens or recipe.max_completion_tokens,
        name=source.name,
        weight=source.weight,
        overlong=source.overlong or recipe.data.overlong,
        limit=source.limit or recipe.data.limit,
        row_limits=recipe.data.row_limits,
    )


def _grader(
    stream: PromptStream, sources: Sequence[SourceSettings], graders: Sequence[Grader]
) -> Grader | SourceGrader:
    """Each source's completions are graded by its own task."""
    if len(graders) == 1:
        return graders[0]
    named = {source.name: grader for source, grader in zip(sources, graders, strict=True)}
    return SourceGrader(named, stream.source_of)


def _eval_task(recipe: Recipe, tasks: Sequence[Any]) -> Any:
    """The task to evaluate on. Of several sources none is taken for the measure: data.eval names it."""
    if recipe.data.eval is not None:
        return task_from(recipe.data.eval, "data.eval")
    return tasks[0] if len(tasks) == 1 else None

"""What a recipe may say. Reading one checks everything that can be known before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import InstanceOf, SkipValidation

from dapo.algorithms import Algorithm
from dapo.budget import Budget
from dapo.data.mixing import MixSettings
from dapo.data.prompts import Overlong
from dapo.data.row_limits import RowLimits
from dapo.data.source import check_names
from dapo.engine.sampler import SamplerSettings
from dapo.evaluation import EvalSettings
from dapo.grading.settings import GradingSettings
from dapo.learning.learner import LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings
from dapo.recipe.resolve import algorithm_from, reward_from, task_from
from dapo.recipe.settings import build, check_keys, to_plain
from dapo.recipe.text import read_recipe
from dapo.recipe.written import reward_to_plain
from dapo.run.checkpoints import CheckpointSettings
from dapo.sampling.settings import SamplingSettings
from dapo.trainer import StepSizes
from dapo.types import RepetitionStop, SamplingParams

Spec = str | dict[str, Any]


@dataclass(frozen=True)
class SourceSettings:
    """One of several sources of training prompts."""

    task: Spec
    """As `data.train`. Its own reward grades its completions, unless the recipe names one for all."""
    name: str
    weight: float = 1.0
    """Share of the turns, relative to the weights of the other sources."""
    max_prompt_tokens: int | None = None
    """Left out, the recipe's; it may be smaller here."""
    max_completion_tokens: int | None = None
    """Left out, the recipe's; it may be smaller here. Soft overlong punishment shrinks with it."""
    overlong: Overlong | None = None
    """Left out, as `data.overlong`."""
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError("weight must be greater than 0; leave the source out to switch it off")


@dataclass(frozen=True)
class DataSettings:
    """Which prompts are trained on, and which are evaluated on."""

    train: Spec | None = None
    """A task's name, a data file, a hub name, or `{task: ..., settings}`."""
    sources: tuple[SourceSettings, ...] = ()
    """In the place of `train`: several sources that take turns."""
    mixing: MixSettings = field(default_factory=MixSettings)
    """How they do; left out, by their weights."""
    eval: Spec | None = None
    """Left out: the held-out examples of the training task, where it has any."""
    overlong: Overlong = "drop"
    """What becomes of prompts longer than max_prompt_tokens: dropped and counted, cut on the `left`, on the
    `right` or in the `middle`, or an `error`. Templates and images stay whole."""
    limit: int | None = None
    """Train on the first so many prompts only, of each source, for a trial."""
    row_limits: RowLimits | None = field(default_factory=RowLimits)
    """How far below max_completion_tokens the completions of a row end, by its column enable_thinking_flag.
    null: rows have no say in it."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        if (self.train is None) == (not self.sources):
            raise ValueError("give either train, for one source, or sources")
        if self.sources:
            check_names([source.name for source in self.sources])
        elif self.mixing != MixSettings():
            raise ValueError("mixing needs several sources: it says how they take turns")
        if self.sources:
            self.mixing.check({source.name: source.weight for source in self.sources})


@dataclass(frozen=True)
class GenerationSettings:
    """How completions are drawn in training. The whole distribution is sampled: a truncated sampler
    (top_p, top_k, min_p) would be another policy than the one the learner's log-probabilities are of."""

    temperature: float = 1.0
    stop: tuple[str, ...] = ()
    repetition: RepetitionStop | None = None
    """Ends completions that go round in a loop: `{every: 1024, ngram: 200, times: 10}` as in Yuan3.0."""
    slots: int | None = None
    """Sequences in flight at most. Left out: as many as the memory holds, up to 256. Fixed for the whole
    run: what is admitted when depends on it."""
    prefill_tokens: int = 16384
    """Tokens of new sequences read in one forward pass, padding included."""
    cuda_graphs: bool = True
    """Record decoding as CUDA graphs, on GPUs."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError("temperature must be positive: greedy completions of a group are all the same")
        SamplerSettings(self.slots, self.prefill_tokens)


@dataclass(frozen=True)
class RunSettings:
    """Where the run is written down."""

    dir: str | None = None
    """Left out: runs/NAME-DATE-TIME."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)


@dataclass(frozen=True)
class Recipe:
    """A whole training run."""

    name: str
    model: ModelSettings
    data: DataSettings
    prompts_per_step: int
    max_completion_tokens: int
    num_steps: int | None = None
    """The run ends after so many steps,"""
    max_tokens: int | None = None
    """or when so many tokens were sampled for training,"""
    max_hours: float | None = None
    """or before so many hours at work are over, restarts included: whichever comes first."""
    group_size: int = 16
    updates_per_step: int = 1
    max_prompt_tokens: int = 2048
    seed: int = 0
    reward: Any = None
    """Left out: the training task's own. A name, `{name: ..., settings}`, `module:function`, or
    `{score: ..., shaping: [...]}`, which adds shaping to a verdict."""
    algorithm: Annotated[InstanceOf[Algorithm], SkipValidation] = field(
        default_factory=lambda: algorithm_from("dapo")
    )
    grading: GradingSettings = field(default_factory=GradingSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    eval: EvalSettings = field(default_factory=EvalSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_lengths(self)
        _check_generation(self)

    @property
    def sizes(self) -> StepSizes:
        return StepSizes(self.prompts_per_step, self.group_size, self.updates_per_step)

    @property
    def budget(self) -> Budget:
        return Budget(self.num_steps, self.max_tokens, self.max_hours)

    @property
    def total_updates(self) -> int | None:
        """Optimizer updates of the whole run, where every step finds its full number of groups.

        None for a run that is not limited in steps.
        """
        return None if self.num_steps is None else self.num_steps * self.updates_per_step

    @property
    def sampler(self) -> SamplerSettings:
        return SamplerSettings(
            self.generation.slots,
            self.generation.prefill_tokens,
            sequence_tokens=self.max_prompt_tokens + self.max_completion_tokens,
            cuda_graphs=self.generation.cuda_graphs,
        )

    @property
    def sampling_policy(self) -> str:
        return self.sampling.policy or self.algorithm.sampling_policy

    def training_params(self) -> SamplingParams:
        return SamplingParams(
            completions_per_prompt=self.group_size,
            temperature=self.generation.temperature,
            stop=self.generation.stop,
            repetition=self.generation.repetition,
            seed=self.seed,
            purpose="train",
        )

    @property
    def eval_max_completion_tokens(self) -> int:
        return self.eval.max_completion_tokens or self.max_completion_tokens


def load_recipe(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] = MappingProxyType({})
) -> Recipe:
    """Read, override, fill in and check a recipe; names in it are looked up.

    Raises:
        RecipeError: if it cannot be run. The message names the key and the fix.
    """
    values = read_recipe(source, overrides)
    if isinstance(values.get("model"), str):
        values["model"] = {"path": values["model"]}
    if isinstance(values.get("data"), str):
        values["data"] = {"train": values["data"]}
    check_keys(Recipe, {key: value for key, value in values.items() if key != "algorithm"}, "")
    values["algorithm"] = algorithm_from(values.get("algorithm", "dapo"))
    recipe = build(Recipe, values, "")
    recipe = replace(recipe, algorithm=recipe.algorithm.resolved(recipe.max_completion_tokens))
    if recipe.data.train is not None:
        task_from(recipe.data.train, "data.train")
    for place, part in enumerate(recipe.data.sources):
        task_from(part.task, f"data.sources.{place}.task")
    if recipe.data.eval is not None:
        task_from(recipe.data.eval, "data.eval")
    if recipe.reward is not None:
        reward_from(recipe.reward)
    return recipe


def recipe_to_plain(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as YAML can hold it; `load_recipe` reads it back to the same recipe."""
    plain: dict[str, Any] = to_plain(recipe)
    plain["algorithm"].pop("paper")
    plain["reward"] = reward_to_plain(recipe.reward)
    return plain


def _check_sizes(recipe: Recipe) -> None:
    _ = recipe.sizes, recipe.budget  # their own checks
    schedule, total = recipe.optimizer.schedule, recipe.total_updates
    if total is not None and schedule.warmup_updates > total:
        raise ValueError(
            f"optimizer.schedule.warmup_updates ({schedule.warmup_updates}) exceeds the {total} updates of "
            "the run (num_steps x updates_per_step): the learning rate would never be reached"
        )
    if schedule.kind != "constant" and not recipe.budget.measurable:
        raise ValueError(
            f"optimizer.schedule.kind: {schedule.kind} falls with the progress of the run, which max_hours "
            "alone does not measure (two runs would differ with the speed of the machine); set num_steps or "
            "max_tokens too, or choose constant"
        )


def _check_lengths(recipe: Recipe) -> None:
    if recipe.max_prompt_tokens < 1 or recipe.max_completion_tokens < 1:
        raise ValueError("max_prompt_tokens and max_completion_tokens must be at least 1")
    for place, source in enumerate(recipe.data.sources):
        for name in ("max_prompt_tokens", "max_completion_tokens"):
            own, most = getattr(source, name), getattr(recipe, name)
            if own is not None and not 1 <= own <= most:
                raise ValueError(
                    f"data.sources.{place}.{name} ({own}) must lie between 1 and the recipe's {name} ({most})"
                )
    soft = recipe.algorithm.soft_overlong
    if soft is None or soft.max_tokens is None or soft.cache_tokens is None:
        return
    threshold = soft.max_tokens - soft.cache_tokens
    if threshold >= recipe.max_completion_tokens:
        raise ValueError(
            f"algorithm.soft_overlong begins to punish at {threshold} tokens, but completions end at "
            f"max_completion_tokens ({recipe.max_completion_tokens}): lower soft_overlong.max_tokens, or "
            "switch it off with soft_overlong: null"
        )


def _check_generation(recipe: Recipe) -> None:
    sampling = recipe.sampling
    endless = sampling.max_rounds == 0 or sampling.on_shortage == "keep_sampling"
    if recipe.sampling_policy == "refill" and endless and recipe.data.limit == 1:
        raise ValueError(
            "sampling without a limit (max_rounds: 0, or on_shortage: keep_sampling) with data.limit: 1 "
            "would sample one prompt for ever once it carries no signal; give max_rounds a limit"
        )

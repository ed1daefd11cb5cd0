"""The linter of shaping over a whole recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dapo.grading.adapt import AdaptedReward
from dapo.grading.composition import Composition, Shaping
from dapo.grading.linter import ShapingReport, lint_shaping
from dapo.recipe.config import Recipe
from dapo.recipe.resolve import reward_from


def shaping_report(recipe: Recipe) -> ShapingReport | None:
    """What the shaping of a recipe can do to its groups. None where nothing shapes.

    It sees the terms of a composed reward and soft overlong punishment. What a reward puts into
    `Score.reward` or `Score.parts` of itself cannot be known before it has judged.
    """
    shaping = _shaping_of(recipe)
    if not shaping and recipe.algorithm.soft_overlong is None:
        return None
    return lint_shaping(
        shaping,
        recipe.algorithm,
        group_size=recipe.group_size,
        max_completion_tokens=recipe.max_completion_tokens,
        policy=recipe.sampling_policy,
        filter_on=recipe.sampling.filter_on,
        tolerance=recipe.sampling.tolerance,
        verdicts=_verdicts_of(recipe.reward),
    )


def shaping_notes(recipe: Recipe) -> list[str]:
    """A line for each danger in the shaping of a recipe; none where there is nothing to say."""
    report = shaping_report(recipe)
    return [] if report is None else report.notes()


def _shaping_of(recipe: Recipe) -> Sequence[Shaping]:
    reward = None if recipe.reward is None else reward_from(recipe.reward)
    if isinstance(reward, AdaptedReward) and isinstance(reward.outcomes, Composition):
        return reward.outcomes.shaping
    return ()


def _verdicts_of(spec: Any) -> tuple[float, float] | None:
    """The rewards of a wrong and a right answer where the numbers of a function stand for both."""
    while isinstance(spec, Mapping) and "score" in spec:
        spec = spec["score"]
    if isinstance(spec, Mapping) and spec.get("score_range") is not None:
        wrong, right = spec["score_range"]
        return float(wrong), float(right)
    return None

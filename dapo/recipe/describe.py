"""A recipe in words: what `--dry-run` prints."""

from __future__ import annotations

import yaml

from dapo.data.prompts import Overlong
from dapo.recipe.config import Recipe, recipe_to_plain
from dapo.recipe.lint import shaping_notes


def describe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, then its arithmetic and anything worth a second look."""
    resolved = yaml.safe_dump(recipe_to_plain(recipe), sort_keys=False, allow_unicode=True)
    remarks = [f"note: {line}" for line in _remarks(recipe)]
    return "\n".join([resolved, *_arithmetic(recipe), *remarks])


def _arithmetic(recipe: Recipe) -> list[str]:
    sizes, algorithm = recipe.sizes, recipe.algorithm
    samples = sizes.prompts_per_step * sizes.group_size
    longest = samples * recipe.max_completion_tokens
    return [
        f"A step trains on {sizes.prompts_per_step:,} prompts x {sizes.group_size} completions = {samples:,} "
        f"samples, in {sizes.updates_per_step} update(s) of {sizes.mini_batch:,} samples.",
        _length(recipe),
        f"These samples hold at most {longest:,} tokens: completions end at "
        f"{recipe.max_completion_tokens:,}, prompts longer than {recipe.max_prompt_tokens:,} are "
        f"{_overlong(recipe)}.",
        *_selection(recipe),
        f"Algorithm {algorithm.name}: {algorithm.paper}.",
    ]


_OVERLONG: dict[Overlong, str] = {
    "drop": "dropped",
    "left": "cut on the left",
    "right": "cut on the right",
    "middle": "cut in the middle",
    "error": "an error",
}


def _overlong(recipe: Recipe) -> str:
    """What becomes of prompts that are too long, by whatever source they come from."""
    data = recipe.data
    kinds = [source.overlong or data.overlong for source in data.sources] or [data.overlong]
    return " or ".join(dict.fromkeys(_OVERLONG[kind] for kind in kinds))


def _length(recipe: Recipe) -> str:
    limits = {
        "steps": recipe.num_steps,
        "tokens": recipe.max_tokens,
        "hours": recipe.max_hours,
    }
    given = [f"{limit:,} {unit}" for unit, limit in limits.items() if limit is not None]
    updates = f" = {recipe.total_updates:,} optimizer updates" if recipe.total_updates is not None else ""
    text = f"The run ends after {given[0]}{updates}"
    if given[1:]:
        text += f", or {' or '.join(given[1:])} if that comes first"
    return f"{text}; the learning rate warms up over {recipe.optimizer.schedule.warmup_updates} updates."


def _selection(recipe: Recipe) -> list[str]:
    """Which groups are trained, and how old they may be."""
    sampling, wanted = recipe.sampling, recipe.prompts_per_step
    limited = sampling.max_rounds and sampling.on_shortage != "keep_sampling"
    limit = f"up to {sampling.max_rounds * wanted:,} groups a step" if limited else "without a limit"
    policies = {
        "refill": f"Groups that are all right or all wrong are replaced by new ones, {limit}.",
        "complete": "Groups that are all right or all wrong are dropped, and the others repeated to fill the "
        "last mini-batch.",
        "off": "Every group is trained on, also those without a signal.",
    }
    ahead = (
        f"The sampler runs ahead of the learner by at most {sampling.max_staleness} step(s)."
        if sampling.max_staleness
        else "Nothing is sampled before the step that trains on it."
    )
    return [policies[recipe.sampling_policy], ahead]


def _remarks(recipe: Recipe) -> list[str]:
    algorithm, lines = recipe.algorithm, []
    if recipe.updates_per_step == 1:
        lines.append(
            "with updates_per_step 1 every ratio is 1 when it is used: no loss clips anything, "
            "and clip-higher, GSPO and SAPO behave like their unclipped forms"
        )
    if algorithm.soft_overlong is not None and algorithm.overlong_filter is not None:
        lines.append(
            "soft_overlong and overlong_filter are both on: truncated completions are punished in the "
            "baseline, but leave the loss themselves"
        )
    lines += shaping_notes(recipe)
    if algorithm.kl is not None:
        lines.append("a KL penalty keeps a second copy of the model in memory")
    if recipe.model.trust_remote_code:
        lines.append("trust_remote_code runs code that came with the model")
    return lines

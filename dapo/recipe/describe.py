"""A recipe in words: what `--dry-run` prints."""

from __future__ import annotations

import yaml

from dapo.recipe.config import Recipe, recipe_to_plain


def describe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, then its arithmetic and anything worth a second look."""
    resolved = yaml.safe_dump(recipe_to_plain(recipe), sort_keys=False, allow_unicode=True)
    remarks = [f"note: {line}" for line in _remarks(recipe)]
    return "\n".join([resolved, *_arithmetic(recipe), *remarks])


def _arithmetic(recipe: Recipe) -> list[str]:
    sizes, algorithm = recipe.sizes, recipe.algorithm
    samples = sizes.prompts_per_step * sizes.group_size
    longest = samples * recipe.max_completion_tokens
    refill = recipe.sampling_policy == "refill"
    rounds = recipe.sampling.max_rounds
    return [
        f"A step trains on {sizes.prompts_per_step:,} prompts x {sizes.group_size} completions = {samples:,} "
        f"samples, in {sizes.updates_per_step} update(s) of {sizes.mini_batch:,} samples.",
        f"The run is {recipe.num_steps:,} steps = {recipe.total_updates:,} optimizer updates; warm-up lasts "
        f"{recipe.optimizer.schedule.warmup_updates} of them.",
        f"A step writes at most {longest:,} tokens: completions end at {recipe.max_completion_tokens:,}, "
        f"prompts longer than {recipe.max_prompt_tokens:,} are dropped.",
        (
            "Groups that are all right or all wrong are replaced by new ones"
            + (
                f", up to {rounds} x {sizes.prompts_per_step:,} groups a step."
                if rounds
                else ", without a limit."
            )
            if refill
            else "Every group is trained on, also those without a signal."
        ),
        f"Algorithm {algorithm.name}: {algorithm.paper}.",
    ]


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
    if algorithm.kl is not None:
        lines.append("a KL penalty keeps a second copy of the model in memory")
    if recipe.model.trust_remote_code:
        lines.append("trust_remote_code runs code that came with the model")
    return lines

"""Make a small base model from nothing: random weights, then one or more supervised warm-ups (`dapo sft`).

    python scripts/make_base.py recipes/quickstart-skill.yaml recipes/quickstart-habits.yaml

The first recipe starts from a random model, whose tokenizer has a token for every character of the task's
demonstrations; each further one from the output of the one before it. The outputs must not exist yet.
Takes some minutes on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

from dapo.cli.sft import run
from dapo.jobs.warmup import load_warm_up
from dapo.recipe.resolve import task_from
from dapo.scratch import Shape, make_model

SHAPE = Shape(hidden=128, layers=4, heads=4, key_value_heads=2, feed_forward=384, context=512)


def alphabet(recipe: str) -> list[str]:
    """Every character of a recipe's demonstrations."""
    task = task_from(load_warm_up(recipe).task, "task")
    texts = [
        "".join([*(message["content"] for message in example.messages), solution])
        for example, solution in islice(task.demonstrations(), 20_000)
    ]
    return sorted(set("".join(texts)))


def main() -> None:
    recipes = sys.argv[1:]
    characters = sorted({character for recipe in recipes for character in alphabet(recipe)})
    with tempfile.TemporaryDirectory() as directory:
        model = make_model(Path(directory) / "random", characters, SHAPE)
        for recipe in recipes:
            run(recipe, [f"model.path={model}"])
            model = Path(load_warm_up(recipe).output)


if __name__ == "__main__":
    main()

"""Make a small base model from nothing: random weights, then `dapo sft` by a warm-up recipe.

    python scripts/make_base.py recipes/quickstart-warmup.yaml [KEY=VALUE]...

The tokenizer has a token for every character of the task's demonstrations. `model.path` of the recipe is
replaced by the random model; its `output` must not exist yet. Takes some minutes on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

from dapo.cli.sft import run
from dapo.recipe_text import parse_overrides
from dapo.resolve import task_from
from dapo.scratch import Shape, make_model
from dapo.warmup import load_warm_up

SHAPE = Shape(hidden=128, layers=4, heads=4, key_value_heads=2, feed_forward=384, context=512)


def main() -> None:
    recipe, *overrides = sys.argv[1:]
    task = task_from(load_warm_up(recipe, parse_overrides(overrides)).task, "task")
    texts = [
        "".join([*(message["content"] for message in example.messages), solution])
        for example, solution in islice(task.demonstrations(), 20_000)
    ]
    with tempfile.TemporaryDirectory() as directory:
        start = make_model(Path(directory) / "random", sorted(set("".join(texts))), SHAPE)
        run(recipe, [*overrides, f"model.path={start}"])


if __name__ == "__main__":
    main()

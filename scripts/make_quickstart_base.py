"""Make recipes/quickstart-base again, from nothing: a random model, then `dapo sft`.

    python scripts/make_quickstart_base.py [DIRECTORY]

Takes some minutes on two cores. The directory must not exist yet; it defaults to recipes/quickstart-base.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from dapo.cli.sft import run
from dapo.scratch import Shape, make_model
from dapo.tasks.arithmetic import ALPHABET

SHAPE = Shape(hidden=128, layers=4, heads=4, key_value_heads=2, feed_forward=384, context=512)


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "recipes/quickstart-base"
    with tempfile.TemporaryDirectory() as directory:
        start = make_model(Path(directory) / "init", ALPHABET, SHAPE)
        run("recipes/quickstart-warmup.yaml", [f"model.path={start}", f"output={target}"])


if __name__ == "__main__":
    main()

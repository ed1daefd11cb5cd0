"""The directory a run is written to: a new one, or that of the run to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dapo.recipe.changes import check_changes
from dapo.recipe.config import Recipe, recipe_to_plain
from dapo.recipe.text import RecipeError
from dapo.run.checkpoints import latest_checkpoint
from dapo.run.directory import RunDirectory, latest_run, new_run_path
from dapo.run.state import load_values

RUNS = Path("runs")
TRAINER_STATE = "trainer"
"""The folder of a checkpoint with all that a restart needs besides the backend's own state."""


def open_run(recipe: Recipe, resume: bool, force: bool) -> tuple[RunDirectory, list[str]]:
    """The directory, and what there is to say about it: what the recipe changes in a run that goes on.

    Raises:
        UserError: where there is no such run, another process writes it, or the recipe has become another.
    """
    plain, given = recipe_to_plain(recipe), recipe.run.dir
    if not resume:
        path = Path(given) if given else new_run_path(RUNS, recipe.name)
        return RunDirectory.create(path, plain), []
    found = Path(given) if given else latest_run(RUNS, recipe.name)
    if found is None:
        raise RecipeError(
            f"there is no run of {recipe.name!r} under {RUNS}/ to resume; name it with run.dir=..."
        )
    directory = RunDirectory.open(found)
    try:
        notes = check_changes(_followed(directory), plain, force)
        directory.write_config(plain)
    except BaseException:
        directory.close()
        raise
    return directory, notes


def _followed(directory: RunDirectory) -> dict[str, Any]:
    """The recipe that the run followed up to its latest checkpoint, whatever config.yaml says since."""
    config, checkpoint = directory.read_config(), latest_checkpoint(directory.checkpoints_path)
    return config if checkpoint is None else load_values(checkpoint / TRAINER_STATE)["recipe"]

"""The recipe of `make quickstart` and the base that ships with it, for a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from dapo.jobs.training import Run
from dapo.recipe.config import load_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("in_the_repository")
def test_the_quickstart_learns_within_a_few_steps(tmp_path: Path) -> None:
    overrides = {"num_steps": 5, "run.dir": str(tmp_path / "run"), "eval.limit": 128}
    recipe = load_recipe("recipes/quickstart.yaml", overrides)
    algorithm = recipe.algorithm
    assert algorithm.sampling_policy == "refill"
    assert (algorithm.loss.low, algorithm.loss.high) == (0.2, 0.28)
    assert algorithm.reduction.name == "token"
    assert algorithm.soft_overlong is not None
    run = Run(recipe)
    summary = run.train()
    assert 0.2 <= summary["accuracy_before"] <= 0.6
    assert summary["accuracy_after"] >= summary["accuracy_before"] + 0.2
    assert run.trainer.account.groups["all_wrong"] + run.trainer.account.groups["all_right"] > 0


def test_the_base_is_small_and_holds_nothing_that_executes() -> None:
    files = list((ROOT / "recipes/quickstart-base").iterdir())
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".jinja"}
    assert sum(file.stat().st_size for file in files if file.suffix == ".safetensors") <= 4_000_000

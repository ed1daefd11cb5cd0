"""The recipes that ship: all of them can be read, say where their values come from, and load nothing."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dapo.core.losses import ClipLoss
from dapo.core.reduce import SequenceMean, TokenMean
from dapo.core.schedule import Schedule
from dapo.core.shaping import SoftOverlong
from dapo.evaluation import EvalSettings
from dapo.jobs.warmup import load_warm_up
from dapo.learning.learner import OptimizerSettings
from dapo.recipe.config import Recipe, load_recipe
from dapo.recipe.describe import describe
from dapo.recipe.resolve import task_from
from dapo.recipe.text import parse_overrides, read_recipe
from dapo.tasks import aime, dapo_math, gsm8k

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
VARIABLES = ("MODEL_PATH", "TRAIN_FILE", "TEST_FILE", "CKPTS_DIR")

README = (RECIPES / "README.md").read_text(encoding="utf-8")
FILES = sorted(path.name for path in RECIPES.glob("*.yaml"))
WARM_UPS = [name for name in FILES if "num_updates:" in (RECIPES / name).read_text()]
TRAINING = [name for name in FILES if name not in WARM_UPS]
PUBLISHED = (
    "dapo-qwen2.5-32b.yaml",
    "dapo-qwen2.5-32b-early.yaml",
    "dapo-qwen2.5-7b-math.yaml",
    "gsm8k-qwen2.5-0.5b.yaml",
)
"""Those that follow a published run."""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables with a default is set; those without one name a file that nobody will read."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for path in RECIPES.glob("*.yaml"):
        for name in re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")):
            monkeypatch.setenv(name, "no-such-file.jsonl")


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("reading a recipe opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_readme_names_every_recipe() -> None:
    assert set(FILES) >= set(PUBLISHED)
    assert [name for name in FILES if f"`{Path(name).stem}`" not in README] == []


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", TRAINING)
def test_a_dry_run_says_what_the_recipe_would_do(name: str) -> None:
    recipe = load_recipe(RECIPES / name)
    assert f"{recipe.num_steps:,} steps" in describe(recipe)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", WARM_UPS)
def test_a_warm_up_can_be_read(name: str) -> None:
    assert load_warm_up(RECIPES / name).num_updates > 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_is_named_after_its_file(name: str) -> None:
    recipe = load_recipe(RECIPES / name)
    assert f"{recipe.name}.yaml" == name
    assert recipe.run.dir == f"runs/{recipe.name}"


def test_a_dry_run_in_a_fresh_process_loads_no_model_and_no_data(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "network = {'socket.connect', 'socket.getaddrinfo'}\n"
        "sys.addaudithook(lambda event, _: event in network and sys.exit(9))\n"
        "from dapo.cli.main import app\n"
        "app(['train', sys.argv[1], '--dry-run'], standalone_mode=False)\n"
        "print('imported:', *sorted({'transformers', 'datasets', 'ray', 'vllm'} & sys.modules.keys()))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", program, str(RECIPES / "dapo-qwen2.5-32b.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment | {"HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "512 prompts x 16 completions = 8,192 samples, in 16 update(s) of 512 samples" in done.stdout
    assert done.stdout.rstrip().endswith("imported:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_carries_its_source(name: str) -> None:
    lines = (RECIPES / name).read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if line.strip() and not re.fullmatch(r"\s*(#.*|[\w.]+:)", line)]
    assert len(values) > 20
    assert [line for line in values if not re.search(r"\S  # \S.{6}", line)] == []


def test_the_32b_recipe_has_the_values_of_paper_and_script() -> None:
    recipe = load_recipe(RECIPES / "dapo-qwen2.5-32b.yaml")
    algorithm = recipe.algorithm
    assert recipe.model.path == "Qwen/Qwen2.5-32B"
    assert (recipe.prompts_per_step, recipe.group_size, recipe.updates_per_step) == (512, 16, 16)
    assert recipe.sizes.mini_batch == 512
    assert (recipe.max_prompt_tokens, recipe.max_completion_tokens) == (2048, 16384 + 4096)
    assert algorithm.loss == ClipLoss(low=0.2, high=0.28, dual_clip=10.0)
    assert algorithm.reduction == TokenMean()
    assert algorithm.soft_overlong == SoftOverlong(max_tokens=20480, cache_tokens=4096, factor=1.0)
    assert algorithm.signed_rewards
    assert algorithm.overlong_filter is None and algorithm.entropy_mask is None
    assert algorithm.kl is None and algorithm.entropy_bonus == 0
    assert recipe.sampling_policy == "refill"
    assert recipe.sampling.max_rounds * recipe.prompts_per_step == 10 * 1536
    assert recipe.generation.temperature == 1.0
    assert recipe.optimizer == OptimizerSettings(
        lr=1e-6, weight_decay=0.1, max_grad_norm=1.0, schedule=Schedule("constant", warmup_updates=10 * 16)
    )
    assert recipe.total_updates == 320 * 16
    assert recipe.eval == EvalSettings(every=5, completions=32, temperature=1.0, top_p=0.7)
    assert recipe.checkpoint.every == 5


def differences(first: Any, second: Any, where: str = "") -> set[str]:
    """Dotted keys that do not have the same value in both."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = first.keys() | second.keys()
        return set().union(*(differences(first.get(k), second.get(k), f"{where}.{k}") for k in keys))
    return set() if first == second else {where.lstrip(".")}


def changed(name: str) -> set[str]:
    return differences(read_recipe(RECIPES / "dapo-qwen2.5-32b.yaml"), read_recipe(RECIPES / name))


def test_the_early_recipe_lacks_token_loss_and_dynamic_sampling_and_nothing_else() -> None:
    recipe = load_recipe(RECIPES / "dapo-qwen2.5-32b-early.yaml")
    assert recipe.algorithm.reduction == SequenceMean()
    assert recipe.sampling_policy == "off"
    assert changed("dapo-qwen2.5-32b-early.yaml") == {
        *("name", "algorithm.reduction", "sampling.policy", "sampling.max_rounds", "run.dir")
    }


def test_the_7b_recipe_differs_where_its_script_does() -> None:
    recipe = load_recipe(RECIPES / "dapo-qwen2.5-7b-math.yaml")
    assert recipe.algorithm.soft_overlong == SoftOverlong(max_tokens=8192, cache_tokens=4096)
    assert (recipe.num_steps, recipe.max_completion_tokens) == (200, 8192)
    assert (recipe.eval.every, recipe.checkpoint.every) == (10, 10)
    assert recipe.sampling_policy == "off"
    assert changed("dapo-qwen2.5-7b-math.yaml") == {
        *("name", "model.path", "num_steps", "max_completion_tokens", "sampling.policy", "run.dir"),
        *("sampling.max_rounds", "generation.slots", "learner.tokens_per_batch", "eval.every"),
        "checkpoint.every",
    }


def test_the_gsm8k_recipe_has_the_sizes_it_says() -> None:
    recipe = load_recipe(RECIPES / "gsm8k-qwen2.5-0.5b.yaml")
    assert recipe.prompts_per_step == 256 // 2
    assert recipe.updates_per_step == 256 // 64
    assert recipe.total_updates == 800
    assert recipe.eval.sampling().temperature == 0
    assert recipe.optimizer.schedule.warmup_updates == 10 * 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_paths_come_from_the_variables_of_the_originals(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def paths(recipe: Recipe) -> list[str | None]:
        train = task_from(recipe.data.train, "data.train")
        if isinstance(train, gsm8k.Task):
            files: list[Any] = [train.train_path, train.eval_path]
        else:
            test = task_from(recipe.data.eval or {}, "data.eval")
            assert isinstance(train, dapo_math.Task) and isinstance(test, aime.Task)
            files = [train.path, test.path]
        return [recipe.model.path, *files, recipe.run.dir]

    assert paths(load_recipe(RECIPES / name))[1:3] == [None, None]
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f"/somewhere/{variable}.parquet")
    assert paths(load_recipe(RECIPES / name)) == [f"/somewhere/{name}.parquet" for name in VARIABLES]


COMMANDS = [
    line.split("  #")[0]
    for block in re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]
OVERRIDES = [text for text in re.findall(r"`([^`\n]+)`", README) if re.match(r"'?[a-z_]+\.[a-z_.]+=", text)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_would_run(command: str) -> None:
    words = shlex.split(command)
    start = words.index("dapo")
    assert all(re.fullmatch(rf"({'|'.join(VARIABLES)})=.+", word) for word in words[:start])
    _, verb, recipe, *rest = words[start:]
    assert verb == "train"
    overrides = parse_overrides([word for word in rest if not word.startswith("--")])
    load_recipe(ROOT / recipe.replace("NAME", "dapo-qwen2.5-32b"), overrides)


@pytest.mark.parametrize("text", OVERRIDES)
def test_an_override_of_the_readme_is_accepted(text: str) -> None:
    load_recipe(RECIPES / "dapo-qwen2.5-32b.yaml", parse_overrides(shlex.split(text)))


def test_the_readme_holds_commands_and_overrides() -> None:
    assert len(COMMANDS) >= 8
    assert len(OVERRIDES) >= 6

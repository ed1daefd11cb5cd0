"""`dapo plan` as users type it, with recipes of this package and models that are configs only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def qwen_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2.5-7B's config as published, without weights."""
    from transformers import Qwen2Config

    directory = tmp_path_factory.mktemp("qwen")
    sizes = {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28}
    sizes |= {"num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064}
    Qwen2Config(**sizes, max_position_embeddings=131072, tie_word_embeddings=False).save_pretrained(directory)
    return directory


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dapo", "plan", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_plan_is_read_from_a_config_alone_and_given_as_json(qwen_7b: Path) -> None:
    recipe = ("recipes/dapo-qwen2.5-7b-math.yaml", f"model.path={qwen_7b}")
    done = plan(*recipe, "--gpus", "16", "--gpu", "h100", "--tp", "2", "--engine", "vllm", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"]["parameters"] == 7_615_616_512  # the published checkpoint's
    learning = found["ranks"][0]
    assert learning["bytes"]["parameters"] == 4 * 7_615_616_512 / 16
    assert found["fits"] and learning["margin"] > 0
    assert found["gpu_hours"] == pytest.approx(16 * found["hours"])


def test_a_plan_that_does_not_fit_says_so_and_what_to_change(qwen_7b: Path) -> None:
    done = plan("recipes/dapo-qwen2.5-7b-math.yaml", f"model.path={qwen_7b}", "--gpu", "l40s")
    assert done.returncode == 0, done.stderr
    assert "DOES NOT FIT" in done.stdout and "--gpus = 2" in done.stdout
    assert "\x1b" not in done.stdout and "--signal-share" not in done.stdout  # that recipe samples no more


def test_mistakes_are_answered_before_anything_is_planned() -> None:
    wrong = plan("recipes/quickstart.yaml", "--gpus", "6", "--tp", "4")
    assert wrong.returncode == 2 and "--tp (4); 3 would do" in wrong.stderr
    wrong = plan("recipes/quickstart.yaml", "--mean-completion", "2")
    assert wrong.returncode == 2 and "--mean-completion must lie in (0, 1]" in wrong.stderr

"""Real data through the whole loop. The files are read where the variable DAPO_SHARED says they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dapo
from dapo.cli.evaluate import EvalOptions
from dapo.cli.evaluate import run as eval_command
from dapo.jobs.measure import measure
from dapo.types import Completion, Example

SHARED = os.environ.get("DAPO_SHARED")
pytestmark = pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED does not say where the data sets are")
DATA = Path(SHARED or ".") / "data"


@pytest.fixture(scope="module")
def small_qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Qwen2 of two layers with a byte-level tokenizer trained on GSM8K's questions."""
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    questions = [json.loads(line)["question"] for line in (DATA / "gsm8k_train.jsonl").open()]
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(questions[:2000], 2000)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
    )
    path = tmp_path_factory.mktemp("models") / "qwen2"
    Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_dapo_math_and_aime_go_through_the_whole_loop(
    small_qwen2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No group of a random model carries a signal: the run says so, does what its policy says, and ends."""
    recipe = {
        "name": "real",
        "model": {"path": str(small_qwen2), "template": "plain"},
        "data": {
            "train": {"task": "dapo_math", "path": str(DATA / "dapo_math_17k.parquet")},
            "eval": {"task": "aime", "path": str(DATA / "aime24_dapo_format.parquet")},
        },
        "num_steps": 2,
        "prompts_per_step": 2,
        "group_size": 4,
        "max_prompt_tokens": 512,
        "max_completion_tokens": 32,
        "sampling": {"max_rounds": 2},
        "eval": {"completions": 2},
        "run": {"dir": str(tmp_path / "run")},
    }
    summary = dapo.train(recipe)
    output = capsys.readouterr().out
    assert "from 17,917 rows: 996 repeated (15 prompts with several answers, the first kept)" in output
    assert (
        "4 groups were generated, the limit of sampling.max_rounds, for 2 that carry a signal; "
        "4 were all wrong, 0 all right: nothing to train on"
    ) in output
    assert summary["accuracy_after"] == 0
    groups = summary["account"]["groups"]
    assert groups["all_wrong"] == groups["generated"] == 8
    first = json.loads((tmp_path / "run/rollouts/step_000001.jsonl").read_text().splitlines()[0])
    assert first["prompt"][0]["content"].startswith("Solve the following math problem step by step.")
    evaluated = (tmp_path / "run/rollouts/eval_000002.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in evaluated}) == 30


def test_real_problems_are_trained_on_where_a_reward_differs(small_qwen2: Path, tmp_path: Path) -> None:
    """The same problems with a verdict that a random model gets right now and then make two real updates."""
    recipe = {
        "name": "real",
        "model": {"path": str(small_qwen2), "template": "plain"},
        "data": {"train": {"task": "dapo_math", "path": str(DATA / "dapo_math_17k.parquet")}, "limit": 200},
        "reward": has_a_letter_e_early,
        "num_steps": 2,
        "prompts_per_step": 2,
        "group_size": 4,
        "max_prompt_tokens": 512,
        "max_completion_tokens": 16,
        "run": {"dir": str(tmp_path / "run")},
    }
    summary = dapo.train(recipe)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["optim/updates"] for line in lines if "optim/updates" in line] == [1, 1]
    assert summary["account"]["groups"]["trained"] == 4


def has_a_letter_e_early(completion: Completion, example: Example) -> bool:
    return "e" in completion.text[:12]


def test_gsm8k_through_the_eval_command(small_qwen2: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dapo", "eval", str(small_qwen2), "--task", "gsm8k", "-n", "2"]
    settings = [
        f"task.eval_path={DATA / 'gsm8k_test.jsonl'}",
        "model.template=plain",
        "eval.limit=20",
        "max_completion_tokens=24",
    ]
    done = subprocess.run(
        [*command, *settings, "-o", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["prompts"] == 20
    assert (
        0
        <= figures["metrics"]["avg@2/low"]
        <= figures["metrics"]["avg@2"]
        <= figures["metrics"]["avg@2/high"]
    )
    assert len((tmp_path / "completions.jsonl").read_text().splitlines()) == 40


def test_aime_by_dapo_s_own_file_is_32_completions_of_30_problems(
    small_qwen2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = f"aime24,path={DATA / 'aime24_dapo_format.parquet'},top_p=0.7"
    arguments = [str(small_qwen2), "model.template=plain", "max_completion_tokens=4"]
    eval_command(arguments, EvalOptions([task], output=tmp_path))
    text = " ".join(capsys.readouterr().out.split())
    assert "30 prompts x 32 completions, temperature 1, top-p 0.7, seed 0, at most 4 tokens" in text
    assert "the data hold 30 prompts, each 32 times: every prompt counts once, with 32 completions" in text
    assert "avg@32" in text and "pass@32" in text
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["prompts"] == 30
    assert "val-core/math_dapo/acc/mean@32" in figures["metrics_verl"]
    assert len((tmp_path / "completions.jsonl").read_text().splitlines()) == 960


def test_an_own_number_of_completions_counts_for_the_problem(small_qwen2: Path) -> None:
    result = measure(
        {
            "model": {"path": str(small_qwen2), "template": "plain"},
            "task": str(DATA / "aime24_dapo_format.parquet"),
            "eval": {"completions": 2, "limit": 3},
            "max_completion_tokens": 4,
        }
    )
    assert (len(result.groups), result.k) == (3, 2)

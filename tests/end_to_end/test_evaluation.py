"""`dapo eval` as a user types it: sets, comparisons, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dapo
from dapo.cli.main import main
from dapo.run.eval_records import by_prompt, read_records

ROOT = Path(__file__).parents[2]
BASE = str(ROOT / "recipes/quickstart-base")


@dataclass
class Terminal:
    """`dapo eval` in this process, started in a directory of its own."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it printed, errors too."""
        self.monkeypatch.setattr(sys, "argv", ["dapo", "eval", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        output = "".join(self.capsys.readouterr())
        assert end.value.code == code, output
        return output


@pytest.fixture
def evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal(capsys, monkeypatch)


def written(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / "metrics.json").read_text())
    return values


def rows_of(output: str, first: str) -> list[list[str]]:
    """The words of the lines that begin with one."""
    return [line.split() for line in output.splitlines() if line.split()[:1] == [first]]


def test_several_sets_each_with_its_own_limits(tmp_path: Path, evaluated: Terminal) -> None:
    rows = [
        {"data_source": source, "prompt": f"{a}+1=?\n", "answer": str(a + 1)}
        for a, source in enumerate(["easy", "easy", "hard"])
    ]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = evaluated(
        *(BASE, "--task", "arithmetic,limit=6,n=3", "--task", "mixed.jsonl,reward=number,top_p=0.7"),
        *("-n", "2", "--seed", "5", "--max-completion-tokens", "32", "--out", "here", "--names", "verl"),
    )
    assert rows_of(output, "arithmetic")[0][:3] == ["arithmetic", "6", "3"]
    assert rows_of(output, "mixed")[0][:3] == ["mixed", "3", "2"]
    assert [rows_of(output, source)[0][:3] for source in ("easy", "hard")] == [
        ["easy", "2", "2"],
        ["hard", "1", "2"],
    ]
    sums, mixed = written(tmp_path / "here/arithmetic"), written(tmp_path / "here/mixed")
    asked = [
        (one["asked"]["completions"], one["asked"]["top_p"], one["asked"]["seed"]) for one in (sums, mixed)
    ]
    assert asked == [(3, 1.0, 5), (2, 0.7, 5)]
    assert sums["asked"]["max_completion_tokens"] == 32
    average = (sums["metrics"]["avg@3"] + mixed["metrics"]["avg@2"]) / 2
    assert rows_of(output, "average")[0][1] == f"{average:.3f}"
    assert "val-core/easy/acc/mean@2" in output and "val-core/arithmetic/acc/mean@3" in output
    assert "mixed: the task holds nothing out: these are its training examples" in output
    assert "arithmetic: 6 prompts are few" in output
    for name in ("arithmetic", "mixed"):
        assert (tmp_path / "here" / name / "completions.html").stat().st_size > 1000


def test_what_was_interrupted_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, evaluated: Terminal
) -> None:
    settings = ("--task", "arithmetic,limit=24", "-n", "2", "--max-completion-tokens", "48", "slots=2")
    evaluated(BASE, *settings, "-o", "calm")
    process = subprocess.Popen(
        [sys.executable, "-m", "dapo", "eval", BASE, *settings, "-o", "killed"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    path = tmp_path / "killed/completions.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < 8:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = path.read_bytes().count(b"\n")
    assert 8 <= found < 48
    refused = evaluated(*("killed", "calm"), code=2)
    assert "the evaluation in killed is not finished" in refused
    output = evaluated(BASE, *settings, "-o", "killed")
    assert f"{found // 2} of 24 prompts were answered before, and the others now" in output
    for name in ("completions.jsonl", "completions.html"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert written(tmp_path / "killed") == written(tmp_path / "calm")
    # What is finished is read, and another evaluation does not go over it.
    assert "measured before; --fresh measures it again" in evaluated(BASE, *settings, "-o", "calm")
    other = evaluated(BASE, *settings, "--seed", "1", "-o", "calm", code=2)
    assert "calm holds another evaluation (seed 0 there, 1 here); give another --output" in other


def test_two_checkpoints_are_compared_prompt_by_prompt(tmp_path: Path, evaluated: Terminal) -> None:
    recipe = dapo.train(
        ROOT / "recipes/quickstart.yaml",
        num_steps=2,
        model={"path": BASE},
        **{"run.dir": str(tmp_path / "run"), "eval.limit": 40, "run.trackers": []},
    )
    run = Path(recipe["run"])
    settings = ("--task", "arithmetic,limit=40", "-n", "4", "--max-completion-tokens", "144")
    output = evaluated(BASE, str(run / "checkpoints/step_000002"), *settings, "-o", "both")
    assert "A quickstart-base\nB run-step_000002" in output
    assert "both drew their tokens by the same random numbers (seed 0)" in output
    [found] = json.loads((tmp_path / "both/comparison.json").read_text())
    figure = found["figures"]["avg@4"]
    # The run's own evaluations are the same completions, compared from their files.
    files = [str(run / f"rollouts/eval_{step:06d}.jsonl") for step in (0, 2)]
    again = evaluated(*files)
    row = next(row for row in rows_of(again, "eval_000000") if row[1] == "avg@4")
    assert row[2:5] == [f"{figure['first']:.3f}", f"{figure['second']:.3f}", f"{figure['difference']:+.3f}"]
    assert (figure["first"], figure["second"]) == (recipe["accuracy_before"], recipe["accuracy_after"])
    assert figure["difference"] > 0 and figure["exact"]
    assert figure["interval"]["low"] < figure["difference"] < figure["interval"]["high"]
    groups = [by_prompt(read_records(Path(file))) for file in files]
    sums = [[sum(record.score for record in group) for group in side] for side in groups]
    assert figure["wins"] == sum(b > a for a, b in zip(*sums, strict=True))
    # Read from where they lie, without a model or a task.
    third = evaluated("both/quickstart-base", "both/run-step_000002")
    assert row[2:] == rows_of(third, "arithmetic")[-1][2:]


def test_greedy_completions_are_said_to_be_one(tmp_path: Path, evaluated: Terminal) -> None:
    output = evaluated(
        *(BASE, "--task", "arithmetic,limit=30", "-n", "3", "--temperature", "0"),
        *("max_completion_tokens=8",),
    )
    assert "temperature 0: the 3 completions of a prompt are the same" in output
    assert "prompts are few" not in output
    metrics = written(tmp_path / "evals/quickstart-base-arithmetic")["metrics"]
    assert metrics["avg@3"] == metrics["pass@3"] == metrics["worst@3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument"),
        ((BASE,), "name a set with --task"),
        ((BASE, BASE, "--task", "arithmetic"), "the same model stands there twice"),
        ((BASE, "--task", "arithmetik"), "Did you mean 'arithmetic'?"),
        ((BASE, "--task", "arithmetic", "-n", "0"), "completions must be at least 1"),
        ((BASE, "--task", "arithmetic", "--top-p", "7"), "top_p must lie in (0, 1]"),
        (("./nowhere", "--task", "arithmetic"), "the directory './nowhere' does not exist"),
    ],
)
def test_what_the_user_can_put_right(
    tmp_path: Path, evaluated: Terminal, arguments: tuple[str, ...], message: str
) -> None:
    output = evaluated(*arguments, code=2)
    assert message in output and "Traceback" not in output
    assert not (tmp_path / "evals").exists()


def test_a_long_name_of_a_set_is_folded_and_not_cut(
    evaluated: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "competition-math-hard"
    sets = [f"arithmetic,limit=2,name={name}", "arithmetic,limit=2"]
    arguments = [argument for one in sets for argument in ("--task", one)]
    output = evaluated(BASE, *arguments, "-n", "2", "max_completion_tokens=8")
    table = output.partition("average")[0].splitlines()
    assert name in "".join(line[2:13].strip() for line in table)
    assert "…" not in output


def test_a_run_is_no_model(tmp_path: Path, evaluated: Terminal) -> None:
    (tmp_path / "run/rollouts").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_text("")
    assert "run is a run: name one of its checkpoints" in evaluated("run", code=2)

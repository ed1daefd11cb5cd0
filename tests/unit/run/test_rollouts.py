from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dapo.run.directory import RunDirectory
from dapo.run.rollouts import RolloutLog
from dapo.types import Completion, Example, GradedGroup, Prompt, Rollout, Score, Verdict


def completion(text: str, versions: list[int], finish: Any = "eos") -> Completion:
    tokens = len(versions)
    return Completion(
        token_ids=[7] * tokens,
        sampler_logprobs=[-0.1] * tokens,
        policy_versions=versions,
        trainable=[True] * tokens,
        finish_reason=finish,
        text=text,
    )


def group(
    content: Any = "What is 2 + 3?", verdict: Verdict | None = "signal", kept: bool = True
) -> GradedGroup:
    example = Example("sum-17", [{"role": "user", "content": content}], "5", {"level": 1})
    right = Rollout(completion("Answer: 5", [6, 6, 7, 7]), Score(1.0, answer="5"), 1.0)
    wrong = Rollout(
        completion("2 + 3 = 3 +", [7] * 9, "length"),
        Score(0.0, parts={"overlong": -0.5}, error="no answer found"),
        -1.5,
    )
    return GradedGroup(Prompt(example, [1, 2], 16, visit=3), [right, wrong], verdict, kept)


@pytest.fixture
def log(tmp_path: Path) -> RolloutLog:
    return RolloutLog(RunDirectory.create(tmp_path / "run", {}))


def test_every_completion_is_a_line_that_tells_the_whole_story(log: RolloutLog) -> None:
    path = log.write(12, RolloutLog.record(group(), step=12, advantages=[1.0, float("nan")]))
    assert path.name == "step_000012.jsonl"
    first, second = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert first == {
        "step": 12,
        "id": "sum-17",
        "visit": 3,
        "prompt": [{"role": "user", "content": "What is 2 + 3?"}],
        "answer": "5",
        "kept": True,
        "verdict": "signal",
        "index": 0,
        "completion": "Answer: 5",
        "finish_reason": "eos",
        "tokens": 4,
        "policy_versions": [6, 7],
        "extracted": "5",
        "score": 1.0,
        "reward": 1.0,
        "parts": {},
        "error": None,
        "part_errors": {},
        "advantage": 1.0,
    }
    assert second["index"] == 1
    assert (second["finish_reason"], second["tokens"], second["policy_versions"]) == ("length", 9, [7])
    assert (second["score"], second["reward"], second["parts"]) == (0.0, -1.5, {"overlong": -0.5})
    assert (second["error"], second["extracted"], second["advantage"]) == ("no answer found", None, None)


def test_a_dropped_group_has_no_advantages(log: RolloutLog) -> None:
    records = RolloutLog.record(group(verdict="all_wrong", kept=False), step=1, advantages=None)
    assert [(record["kept"], record["verdict"], record["advantage"]) for record in records] == [
        (False, "all_wrong", None)
    ] * 2


def test_a_missing_advantage_is_an_error(log: RolloutLog) -> None:
    with pytest.raises(ValueError, match="zip"):
        RolloutLog.record(group(), step=1, advantages=[1.0])


def test_of_an_image_only_its_place_is_written(log: RolloutLog) -> None:
    content = [{"type": "image", "image": b"\x89PNG"}, {"type": "text", "text": "How many cats?"}]
    path = log.write(1, RolloutLog.record(group(content, kept=False), step=1, advantages=None))
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert line["prompt"][0]["content"] == [{"type": "image"}, {"type": "text", "text": "How many cats?"}]


def test_a_line_end_in_a_text_stays_inside_its_line(log: RolloutLog) -> None:
    path = log.write(1, [{"completion": "a\nb\u2028c"}, {"completion": "d"}])
    assert [json.loads(line)["completion"] for line in path.read_text(encoding="utf-8").split("\n")[:-1]] == [
        "a\nb\u2028c",
        "d",
    ]


def test_writing_a_step_again_replaces_it(log: RolloutLog) -> None:
    log.write(1, [{"a": 1}, {"a": 2}])
    path = log.write(1, [{"a": 3}])
    assert path.read_text(encoding="utf-8") == '{"a": 3}\n'


def test_text_that_utf8_cannot_hold_comes_back(log: RolloutLog) -> None:
    path = log.write(2, [{"a": "half a pair: \ud83d, 中"}])
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "half a pair: \ud83d, 中"}

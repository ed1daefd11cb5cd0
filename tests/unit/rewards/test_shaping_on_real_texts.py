"""Shaping rewards over texts that people wrote: none of them should be punished."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dapo.rewards import format, language, repetition
from dapo.types import Completion, Example
from dapo.verify.tongues import is_in

SHARED = os.environ.get("DAPO_SHARED")
pytestmark = pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED is not set")


def rows(name: str, prompt: str, text: str) -> list[tuple[str, Example]]:
    path = Path(SHARED or "", "data", name)
    found: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (row[text], Example("x", [{"role": "user", "content": row.get(prompt, "")}], "")) for row in found
    ]


def mean(reward: Any, texts: list[tuple[str, Example]]) -> float:
    scores = [reward(Completion([], [], [], [], "eos", text), example).score for text, example in texts]
    return sum(scores) / len(scores)


@pytest.mark.parametrize("rule", ["share", "yuan"])
def test_english_solutions_and_passages_are_english(rule: Any) -> None:
    for texts in (
        rows("math500.jsonl", "problem", "solution"),
        rows("gsm8k_train.jsonl", "question", "answer")[:1000],
        rows("xquad_en_contexts.jsonl", "", "text"),
    ):
        assert mean(language.Reward("en", rule=rule), texts) == 1
        assert mean(language.Reward("zh", rule=rule), texts) < 0.1
    assert all(is_in(text, "en") for text, _ in rows("xquad_en_contexts.jsonl", "", "text"))


def test_solutions_are_boxed_and_do_not_repeat_themselves() -> None:
    texts = rows("math500.jsonl", "problem", "solution")
    assert mean(format.Reward("boxed"), texts) == 1
    assert mean(repetition.Reward("words"), texts) == 1

"""What `--task` may say."""

from __future__ import annotations

from typing import Any

import pytest

from dapo.jobs.eval_sets import parse_sets
from dapo.recipe.text import RecipeError


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("gsm8k", "gsm8k", {"task": {"task": "gsm8k"}, "eval": {}}),
        (
            "aime,year=2025,n=32,limit=10,top_p=0.7",
            "aime",
            {"task": {"task": "aime", "year": 2025}, "eval": {"completions": 32, "limit": 10, "top_p": 0.7}},
        ),
        (
            "data/a,b.jsonl,prompt=question,max_completion_tokens=64,reward=number",
            "a,b",
            {
                "task": {"task": "data/a,b.jsonl", "prompt": "question"},
                "eval": {"max_completion_tokens": 64},
                "reward": "number",
            },
        ),
        (
            "org/data,split=test,name=mine",
            "mine",
            {"task": {"task": "org/data", "split": "test"}, "eval": {}},
        ),
        ("pkg.mod:Task", "pkg.mod-Task", {"task": {"task": "pkg.mod:Task"}, "eval": {}}),
        (
            "{path: [x.jsonl, y.jsonl], task: file, stop: ['\\n\\n'], seed: 3}",
            "file",
            {
                "task": {"path": ["x.jsonl", "y.jsonl"], "task": "file"},
                "eval": {"seed": 3},
                "stop": ["\\n\\n"],
            },
        ),
        ("{path: x.jsonl}", "x", {"task": {"path": "x.jsonl"}, "eval": {}}),
    ],
)
def test_a_set_with_settings_of_its_own(text: str, name: str, settings: dict[str, Any]) -> None:
    [found] = parse_sets([text])
    assert (found.name, found.settings) == (name, settings)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["gsm8k", "gsm8k,limit=3"], "two sets are called 'gsm8k'; .*--task gsm8k,name=other"),
        ([""], "name a task or a data file first"),
        (["{limit: 3}"], "name a task or a data file first"),
        (["gsm8k,name=a/b"], "without a slash"),
        (["gsm8k,limit=[1"], "not valid YAML"),
        (["{path: x"], "not valid YAML"),
    ],
)
def test_what_is_no_set(texts: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_sets(texts)

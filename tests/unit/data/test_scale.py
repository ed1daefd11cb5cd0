"""Files that repeat their prompts take the memory of their prompts, not that of their rows."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from dapo.data.dedupe import deduplicate
from dapo.tasks import file
from dapo.types import Example

PROMPTS, COPIES = 50, 20
ROWS = PROMPTS * COPIES


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty prompts, twenty times each, no two rows alike."""
    path = tmp_path_factory.mktemp("data") / "repeated.jsonl"
    rows = ({"prompt": f"{row % PROMPTS}?", "answer": row % PROMPTS, "index": row} for row in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_training_holds_one_example_of_each_prompt(repeated: Path) -> None:
    references: list[weakref.ref[Example]] = []

    def noted(examples: Iterator[Example]) -> Iterator[Example]:
        for example in examples:
            references.append(weakref.ref(example))
            yield example

    found = deduplicate(noted(file.Task(path=str(repeated)).stream()))
    assert (len(references), len(found.examples)) == (ROWS, PROMPTS)
    assert sum(reference() is not None for reference in references) == PROMPTS


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_the_stream_is_what_train_gives(repeated: Path, fraction: float | None) -> None:
    task = file.Task(path=str(repeated), eval_fraction=fraction)
    train = task.train()
    assert list(task.stream()) == train
    assert len(train) == (ROWS if fraction is None else (PROMPTS - 15) * COPIES)

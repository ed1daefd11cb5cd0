"""The answers that could not be graded, written down for those who mend the reward."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path

from dapo.grading.judging import Judged
from dapo.run.files import json_line
from dapo.types import Completion, Example

LIMIT = 32 * 2**20
"""Bytes of the file. What comes later is counted in the metrics only."""

LONGEST_TEXT = 20_000
"""Characters of a text that are kept, half of them from its beginning and half from its end."""


class Quarantine:
    """Appends to `quarantine.jsonl`, a JSON object per answer; does nothing until it has a `path`."""

    def __init__(self, path: Path | None = None, limit: int = LIMIT) -> None:
        self.path, self.limit = path, limit
        self._lock = threading.Lock()

    def put(self, reward: str, completion: Completion, example: Example, judged: Judged) -> None:
        """Write an answer down, if there is room. Raises OSError where the disk does not take it."""
        if self.path is None:
            return
        record = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "id": example.id,
            "reward": reward,
            "failure": judged.failure,
            "reason": judged.reason,
            "text": _shortened(completion.text),
        }
        # A lone surrogate, which UTF-8 cannot hold, becomes the escape that JSON has for it.
        line = (json_line(record) + "\n").encode("utf-8", errors="backslashreplace")
        with self._lock:
            size = self.path.stat().st_size if self.path.exists() else 0
            if size + len(line) <= self.limit:
                with self.path.open("ab") as file:
                    file.write(line)


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"

"""How a benchmark talks to a side of it that runs in a process, and maybe an environment, of its own.

The standard library only: this is imported wherever a side runs. The first line on standard input is the job,
as JSON; every answer is a line of JSON on standard output. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
Measure = Callable[[], dict[str, Any]]


class Channel:
    """The worker's end. Make it before anything prints."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.job: Job = json.loads(sys.stdin.readline())

    def answer(self, **content: Any) -> None:
        """Send one line."""
        print(json.dumps(content), file=self._out, flush=True)

    def wait(self) -> bool:
        """Wait until the benchmark asks for more. False: it wants no more."""
        return bool(sys.stdin.readline())


def serve(prepare: Callable[[Job], Measure]) -> None:
    """`prepare` loads and warms up; what it returns is called once for each time that is asked for."""
    channel = Channel()
    measure = prepare(channel.job)
    channel.answer(ready=True)
    while channel.wait():
        channel.answer(**measure())
    os._exit(0)  # threads of the libraries may still wait for work

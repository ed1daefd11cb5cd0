"""Where the next prompt comes from: the stream, less what the ledger passes over, in an order asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from dapo.data.order import longest_first
from dapo.sampling.ledger import Ledger
from dapo.types import Prompt


class Stream(Protocol):
    """Hands out prompts without end, and finds them again."""

    def __next__(self) -> Prompt: ...

    def find(self, example_id: str) -> Prompt: ...


class PromptQueue:
    """Hands out prompts to be admitted, and numbers them."""

    def __init__(self, stream: Stream, ledger: Ledger, group_size: int, seed: int, longest: bool) -> None:
        self._stream, self._ledger = stream, ledger
        self.group_size, self._seed, self._longest = group_size, seed, longest
        self.window: list[Prompt] = []
        """Drawn from the stream and not yet admitted: longest expected first."""
        self.admitted = 0
        self.skipped = 0

    def pull(self, step: int, needed: Callable[[], int]) -> Prompt:
        """The next prompt. `needed` says how many prompts a step takes, for those that are put in order."""
        if not self.window:
            drawn = [self._draw(step) for _ in range(needed() if self._longest else 1)]
            self.window = longest_first(drawn, self._expected_tokens)
        prompt = replace(self.window.pop(0), number=self.admitted)
        self.admitted += 1
        return prompt

    def find(self, example_id: str) -> Prompt:
        """The prompt of an example, as the stream first held it."""
        return self._stream.find(example_id)

    def _draw(self, step: int) -> Prompt:
        while self._ledger.skips(prompt := next(self._stream), self.group_size, step, self._seed):
            self.skipped += 1
        return prompt

    def _expected_tokens(self, prompt: Prompt) -> float | None:
        """What earlier groups of the prompt took; before the first one, what its row expects."""
        seen = self._ledger.expected_tokens(prompt.example.id)
        return prompt.expected_completion_tokens if seen is None else seen

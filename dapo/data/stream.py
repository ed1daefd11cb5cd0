"""The endless stream of training prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dapo.errors import UserError
from dapo.types import Prompt


class PromptStream(Iterator[Prompt]):
    """Hands out the prompts epoch by epoch, without end, each epoch in an order of its own.

    The order of an epoch depends on `(seed, epoch)` alone, so a stream that is resumed from
    `state_dict` goes on exactly as the undisturbed one. Each prompt it hands out carries its `visit`
    (how often the stream had handed it out before, which is the epoch) and its `number` in the run.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, shuffle: bool = True) -> None:
        if not prompts:
            raise ValueError("a stream needs at least one prompt")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}")
        self._prompts = prompts
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = 0
        self._position = 0
        self._order = self._order_of(0)

    @property
    def epoch(self) -> int:
        """Number of epochs handed out to the end."""
        return self._epoch

    @property
    def number(self) -> int:
        """Number of prompts handed out."""
        return self._epoch * len(self._prompts) + self._position

    def __next__(self) -> Prompt:
        prompt = self._prompts[self._order[self._position]]
        handed_out = dataclasses.replace(prompt, visit=self._epoch, number=self.number)
        self._position += 1
        if self._position == len(self._prompts):
            self._epoch, self._position = self._epoch + 1, 0
            self._order = self._order_of(self._epoch)
        return handed_out

    def state_dict(self) -> dict[str, int]:
        """The place in the stream, as plain integers."""
        return {"epoch": self._epoch, "position": self._position, "number": self.number}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes to the place `state_dict` described.

        Raises UserError if that place does not exist in this stream, because it has other prompts.
        """
        epoch, position, number = state["epoch"], state["position"], state["number"]
        size = len(self._prompts)
        if epoch < 0 or not 0 <= position < size or number != epoch * size + position:
            raise UserError(
                f"the saved place in the stream (epoch {epoch}, position {position}, number {number}) does "
                f"not fit {size} prompts: resume with the data, max_prompt_tokens and limit of the saved run"
            )
        self._epoch, self._position = epoch, position
        self._order = self._order_of(epoch)

    def _order_of(self, epoch: int) -> list[int]:
        if not self._shuffle:
            return list(range(len(self._prompts)))
        order: list[int] = np.random.default_rng((self._seed, epoch)).permutation(len(self._prompts)).tolist()
        return order

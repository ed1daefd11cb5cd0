"""MATH-500 (arXiv 2305.20050): problems of MATH (arXiv 2103.03874) whose answers are formulas, too."""

from __future__ import annotations

from dataclasses import dataclass

from dapo.data.columns import Columns, to_examples
from dapo.data.files import read_rows
from dapo.data.hub import read_hub
from dapo.errors import UserError
from dapo.rewards import math
from dapo.types import Example

HUB = "HuggingFaceH4/MATH-500"

_INSTRUCTION = "Reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True)
class Task:
    """For evaluation only."""

    path: str | tuple[str, ...] | None = None
    """Files with the columns `problem` and `answer`. None: the dataset of the hub."""
    prompt_template: str = "{prompt}\n\n" + _INSTRUCTION
    """What is asked, with the problem in the place of `{prompt}`."""

    def __post_init__(self) -> None:
        self._columns()  # which checks the template

    @property
    def reward(self) -> math.Reward:
        """Right if the answer is the same mathematics as the gold one."""
        return math.Reward()

    def train(self) -> list[Example]:
        """Raises UserError: training on a published test would make its number worthless."""
        raise UserError("math500 is for evaluation only; train on another task, such as dapo_math")

    def eval(self) -> list[Example]:
        """The problems."""
        rows = read_hub(HUB, split="test") if self.path is None else read_rows(self.path)
        return list(to_examples(rows, self._columns()))

    def gold_completion(self, example: Example) -> str:
        """The answer alone, in its box."""
        return f"The answer is $\\boxed{{{example.answer}}}$."

    def _columns(self) -> Columns:
        return Columns(prompt="problem", answer="answer", prompt_template=self.prompt_template)

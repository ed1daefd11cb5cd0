"""Generated sums, worked step by step. Made for small models that a laptop trains in minutes.

    12+7+25=?
    12+7=19
    19+25=44
    Answer: 44

The demonstrations come in three styles side by side: careful ones as above; hasty ones that answer at
once, which is right for two terms and a guess for more; and rambling ones that say every step two or three
times, which is as right as the careful ones and longer. A base warmed up on the mixture has the skill and
three habits; what reinforcement teaches it is the choice between them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from dapo.rewards import number
from dapo.types import Example

ALPHABET = "0123456789+=?:\nAnswer Wait,"
"""Every character that prompts and demonstrations are made of."""


@dataclass(frozen=True)
class Task:
    """Sums of `min_terms` to `max_terms` numbers of 0 to `largest`; no sum is in both splits."""

    min_terms: int = 2
    max_terms: int = 4
    largest: int = 20
    train_size: int = 4096
    eval_size: int = 256
    hasty: float = 0.92
    """Share of hasty demonstrations."""
    rambling: float = 0.06
    """Share of rambling demonstrations; the rest is careful."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.min_terms <= self.max_terms:
            raise ValueError("min_terms must be at least 2 and at most max_terms")
        if self.largest < 1 or min(self.train_size, self.eval_size) < 1:
            raise ValueError("largest, train_size and eval_size must be at least 1")
        if min(self.hasty, self.rambling) < 0 or self.hasty + self.rambling > 1:
            raise ValueError("hasty and rambling are shares: at least 0, together at most 1")
        possible = sum((self.largest + 1) ** terms for terms in range(self.min_terms, self.max_terms + 1))
        if 2 * (self.train_size + self.eval_size) > possible:
            raise ValueError(
                f"there are only {possible} different sums: lower train_size and eval_size to a quarter of "
                "that each, or raise largest or max_terms"
            )

    @property
    def reward(self) -> number.Reward:
        """Right if the number after the last `Answer:` is the sum."""
        return number.Reward(require_marker=True)

    def train(self) -> list[Example]:
        """The first `train_size` sums."""
        return self._examples()[: self.train_size]

    def eval(self) -> list[Example]:
        """`eval_size` sums that are not among the training ones."""
        return self._examples()[self.train_size :]

    def gold_completion(self, example: Example) -> str:
        """The careful solution."""
        return "\n".join([*_steps(_terms(example)), f"Answer: {example.answer}"])

    def demonstrations(self) -> Iterator[tuple[Example, str]]:
        """Training sums with solutions in mixed styles, without end."""
        source = random.Random(f"demonstrations {self.seed}")
        examples = self.train()
        while True:
            example = source.choice(examples)
            yield example, self._solution(example, source)

    def _solution(self, example: Example, source: random.Random) -> str:
        style = source.random()
        if style < self.hasty:
            off = 0 if len(_terms(example)) == 2 else source.choice((0, -10, -1, 1, 10))
            return f"Answer: {abs(int(example.answer) + off)}"
        if style < self.hasty + self.rambling:
            return _ramble(example, source)
        return self.gold_completion(example)

    def _examples(self) -> list[Example]:
        source = random.Random(f"sums {self.seed}")
        sums: dict[str, Example] = {}
        while len(sums) < self.train_size + self.eval_size:
            count = source.randint(self.min_terms, self.max_terms)
            terms = [source.randint(0, self.largest) for _ in range(count)]
            text = "+".join(map(str, terms))
            sums[text] = Example(
                id=text, messages=({"role": "user", "content": f"{text}=?\n"},), answer=str(sum(terms))
            )
        return list(sums.values())


def _terms(example: Example) -> list[int]:
    asked: str = example.messages[0]["content"]
    return [int(term) for term in asked.rstrip("=?\n").split("+")]


def _steps(terms: list[int]) -> list[str]:
    """`a+b=c` for each addition, left to right."""
    total, lines = terms[0], []
    for term in terms[1:]:
        lines.append(f"{total}+{term}={total + term}")
        total += term
    return lines


def _ramble(example: Example, source: random.Random) -> str:
    """Every step two or three times over, then the answer."""
    lines = []
    for step in _steps(_terms(example)):
        lines += [step, *[f"Wait, {step}"] * source.choice((1, 2))]
    return "\n".join([*lines, f"Answer: {example.answer}"])

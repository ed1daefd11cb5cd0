"""Countdown: reach a target with the given numbers, each used exactly once. Generated, or from a file.

The task of TinyZero, and of many first experiments: the way to the answer is a search, and any answer is
easy to check. Every generated problem has a solution with whole numbers on the way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from dapo.data.files import Row, read_rows
from dapo.errors import UserError
from dapo.rewards import countdown
from dapo.types import Example

_PROMPT = (
    "Using the numbers {nums}, create an equation that equals {target}. You can use + - * / and brackets, "
    "and each number exactly once. Think step by step and give the equation in <answer> </answer> tags, as "
    "in <answer> (1 + 2) / 3 </answer>."
)


@dataclass(frozen=True)
class Task:
    """`min_numbers` to `max_numbers` numbers from 1 to `largest`; no problem is in both splits."""

    min_numbers: int = 3
    max_numbers: int = 4
    largest: int = 99
    """Of the numbers and of the target."""
    train_size: int = 8192
    eval_size: int = 256
    train_path: str | None = None
    """In the place of generated problems: a file with the columns `nums` and `target`, as the hub's
    Jiayi-Pan/Countdown-Tasks-3to4 has them. Its solutions are not known."""
    eval_path: str | None = None
    prompt_template: str = _PROMPT
    """What is asked, with `{nums}` and `{target}` in their places."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.min_numbers <= self.max_numbers <= 8:
            raise ValueError("min_numbers must be at least 2 and at most max_numbers, max_numbers at most 8")
        if self.largest < 10 or min(self.train_size, self.eval_size) < 1:
            raise ValueError("largest must be at least 10, train_size and eval_size at least 1")
        if 100 * (self.train_size + self.eval_size) > self.largest ** (self.min_numbers + 1):
            raise ValueError(
                "there are too few such problems: raise largest or min_numbers, or lower train_size"
            )
        for place in ("{nums}", "{target}"):
            if place not in self.prompt_template:
                raise ValueError(f"prompt_template must hold {place}")

    @property
    def reward(self) -> countdown.Reward:
        """Right if the equation uses every number once and gives the target."""
        return countdown.Reward()

    def train(self) -> list[Example]:
        """The first `train_size` problems, or those of the file."""
        return (
            self._generated()[: self.train_size] if self.train_path is None else self._read(self.train_path)
        )

    def eval(self) -> list[Example]:
        """`eval_size` problems that are not among the generated training ones, or those of the file."""
        if self.eval_path is not None:
            return self._read(self.eval_path)
        return self._generated()[self.train_size :] if self.train_path is None else []

    def gold_completion(self, example: Example) -> str:
        """The solution a generated problem was made from. Raises UserError for problems of a file."""
        if "solution" not in example.columns:
            raise UserError(
                f"countdown: no solution of {example.id} is known; only generated problems have one"
            )
        return f"<answer> {example.columns['solution']} </answer>"

    def demonstrations(self) -> Iterator[tuple[Example, str]]:
        """Generated training problems with their solutions, without end."""
        source = random.Random(f"demonstrations {self.seed}")
        examples = self.train()
        while True:
            example = source.choice(examples)
            yield example, self.gold_completion(example)

    def _generated(self) -> list[Example]:
        source = random.Random(f"countdown {self.seed}")
        found: dict[str, Example] = {}
        while len(found) < self.train_size + self.eval_size:
            nums = [
                source.randint(1, self.largest)
                for _ in range(source.randint(self.min_numbers, self.max_numbers))
            ]
            target, solution = _combine([(number, str(number)) for number in nums], source)
            if 10 <= target <= self.largest:
                example = self._example(sorted(nums), target, {"solution": solution})
                found.setdefault(example.id, example)
        return list(found.values())

    def _read(self, path: str) -> list[Example]:
        return [self._example(*_problem(row), {}) for row in read_rows(path)]

    def _example(self, nums: list[int], target: int, columns: dict[str, str]) -> Example:
        listed = f"[{', '.join(map(str, nums))}]"
        text = self.prompt_template.replace("{nums}", listed).replace("{target}", str(target))
        return Example(
            id=f"{'-'.join(map(str, nums))}={target}",
            messages=({"role": "user", "content": text},),
            answer=str(target),
            columns={"nums": nums, **columns},
        )


def _problem(row: Row) -> tuple[list[int], int]:
    nums, target = row.values.get("nums"), row.values.get("target")
    if (
        not isinstance(nums, list)
        or not all(type(number) is int for number in nums)
        or type(target) is not int
    ):
        raise UserError(f"{row.place}: needs a column `nums`, a list of integers, and an integer `target`")
    return nums, target


def _combine(terms: list[tuple[int, str]], source: random.Random) -> tuple[int, str]:
    """Bring terms together two by two at random, by operations that keep them positive whole numbers."""
    while len(terms) > 1:
        (a, left), (b, right) = (terms.pop(source.randrange(len(terms))) for _ in range(2))
        operation = source.choice("+-*/")
        if operation == "-" and a > b:
            terms.append((a - b, f"({left} - {right})"))
        elif operation == "*":
            terms.append((a * b, f"{left} * {right}"))
        elif operation == "/" and a % b == 0:
            terms.append((a // b, f"{left} / ({right})" if " " in right else f"{left} / {right}"))
        else:
            terms.append((a + b, f"({left} + {right})"))
    [(target, solution)] = terms
    return target, solution

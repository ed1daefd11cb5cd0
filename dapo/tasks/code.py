"""Programming problems with tests: MBPP, and files and data sets that are laid out as the known ones are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dapo.data.columns import Columns, to_examples
from dapo.data.files import Row, read_rows
from dapo.data.golden import fenced, gold_completion
from dapo.data.hub import read_hub
from dapo.data.split import split_examples
from dapo.errors import UserError
from dapo.rewards import code
from dapo.types import Example
from dapo.verify.code_tests import read_tests

_PROMPT = (
    "{problem}\n\nWrite the solution in Python. Put all of it into one block that begins with ```python and "
    "ends with ```."
)


@dataclass(frozen=True)
class _Layout:
    """Where rows of a published kind hold what. A kind is told by its columns."""

    problem: str
    tests: tuple[str, ...]
    """One column with tests in a form that `dapo.verify.code_tests` reads, or several that make one up."""
    needs: tuple[str, ...]
    """Columns that rows of this kind have."""
    solution: str = ""
    """Column of a program that passes them."""
    continues: bool = False
    """The program begins with the problem."""

    def fits(self, values: Mapping[str, Any]) -> bool:
        return all(name in values for name in self.needs)


_LAYOUTS = (
    _Layout("problem", ("tests",), ("problem", "tests"), "solution"),
    _Layout("text", ("test_list", "test_setup_code"), ("text", "test_list"), "code"),  # MBPP
    _Layout("prompt", ("test_list", "test_imports"), ("prompt", "test_list"), "code"),  # MBPP, sanitized
    _Layout(  # HumanEval
        "prompt", ("test", "entry_point"), ("prompt", "test", "entry_point"), "canonical_solution", True
    ),
    _Layout("question", ("input_output",), ("question", "input_output"), "solutions"),  # APPS, TACO
    _Layout("question_content", ("public_test_cases",), ("question_content", "public_test_cases")),
    _Layout("prompt", ("reward_model.ground_truth",), ("prompt", "reward_model")),  # verl, PRIME
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Rows with a problem and tests, and, where there is one, a program that passes them.

    The columns are found by those of MBPP, HumanEval, APPS and TACO, LiveCodeBench, verl's schema, or
    `problem`, `tests` and `solution`; the settings name others. What the forms of tests are is written in
    `dapo.verify.code_tests`. A problem that is a list of messages is asked as it stands.
    """

    path: str | tuple[str, ...] | None = None
    """Files to train on. None: the hub's dataset `name`."""
    eval_path: str | tuple[str, ...] | None = None
    """Files to evaluate on."""
    eval_fraction: float | None = None
    """In their place: the share of the training problems to hold out."""
    name: str = "google-research-datasets/mbpp"
    """Dataset of the hub, used where no path is given."""
    subset: str | None = "full"
    split: str = "train"
    eval_split: str = "test"
    problem: str | None = None
    """Column of the problem."""
    tests: str | None = None
    """Column of the tests."""
    solution: str | None = None
    """Column of a program that passes them, or of a list of such."""
    prompt_template: str = _PROMPT
    """Text around the problem, with `{problem}` in its place."""
    show_tests: int = 3
    """So many asserts are shown with the problem, where it has a list of them: MBPP's say what the function
    is to be called. Code that knows nothing but these is right where there are no others."""
    skip_untested: bool = False
    """Leave rows out whose tests cannot be read or are missing, in the place of an error."""

    def __post_init__(self) -> None:
        if self.eval_fraction is not None and not 0 < self.eval_fraction < 1:
            raise ValueError(f"eval_fraction must lie between 0 and 1, not {self.eval_fraction}")
        if self.eval_path is not None and self.eval_fraction is not None:
            raise ValueError("eval_path and eval_fraction exclude each other; set one of them")
        if "{problem}" not in self.prompt_template:
            raise ValueError("prompt_template must hold {problem}, which stands for the problem of the row")
        if self.show_tests < 0:
            raise ValueError(f"show_tests must be at least 0, not {self.show_tests}")

    @property
    def reward(self) -> code.Reward:
        """Right if the code passes all tests."""
        return code.Reward()

    def train(self) -> list[Example]:
        """The problems to train on. Raises UserError for a row without tests that can be read."""
        examples = self._examples(self._rows(self.path, self.split))
        return examples if self.eval_fraction is None else split_examples(examples, self.eval_fraction)[0]

    def eval(self) -> list[Example]:
        """The problems to evaluate on; none if neither files nor a fraction are set aside for it."""
        if self.eval_fraction is not None:
            return split_examples(self._examples(self._rows(self.path, self.split)), self.eval_fraction)[1]
        if self.path is not None and self.eval_path is None:
            return []
        return self._examples(self._rows(self.eval_path, self.eval_split))

    def gold_completion(self, example: Example) -> str:
        """The solution in a block. Raises UserError for a row that has none."""
        return gold_completion(self.reward, example)

    def _rows(self, path: str | tuple[str, ...] | None, split: str) -> Iterator[Row]:
        return read_hub(self.name, self.subset, split) if path is None else read_rows(path)

    def _examples(self, rows: Iterator[Row]) -> list[Example]:
        asked = (self._asked(row) for row in rows)
        tested = (row for row in asked if row is not None)
        return list(to_examples(tested, Columns(prompt="asked", answer="tests")))

    def _asked(self, row: Row) -> Row | None:
        """The row with what is asked, its tests as one text, and a solution; None if it is to be left out."""
        layout = self._layout(row)
        tests = _tests(row, layout)
        try:
            read_tests(tests, row.values)
        except ValueError as error:
            if self.skip_untested:
                return None
            raise UserError(
                f"{row.place}: {error}; mend the row, name the column with `tests`, or leave such rows out "
                "with skip_untested: true"
            ) from error
        used = {name.partition(".")[0] for name in (layout.problem, *layout.tests)}
        values = {name: value for name, value in row.values.items() if name not in used}
        values |= {"asked": self._prompt(row, layout), "tests": tests}
        solution = _of(row, layout.solution)
        if solution is not None:
            values["solution"] = f"{_of(row, layout.problem)}{solution}" if layout.continues else solution
        return Row(row.source, row.number, values)

    def _layout(self, row: Row) -> _Layout:
        known = next((layout for layout in _LAYOUTS if layout.fits(row.values)), None)
        problem = self.problem or (known.problem if known else None)
        tests = (self.tests,) if self.tests else known.tests if known else None
        if problem is None or tests is None:
            raise UserError(
                f"{row.place}: no columns of a known kind are there ({', '.join(row.values)}); set `problem` "
                "and `tests` to the columns that hold them, and `solution` if there is one"
            )
        solution = self.solution or (known.solution if known else "")
        return _Layout(problem, tests, (), solution, bool(known and known.continues and not self.solution))

    def _prompt(self, row: Row, layout: _Layout) -> Any:
        problem = _of(row, layout.problem)
        if not isinstance(problem, str):
            return problem
        parts = [problem.strip("\n")]
        starter = row.values.get("starter_code")
        if isinstance(starter, str) and starter.strip():
            parts.append(f"Begin with this code:\n{fenced('python', starter.rstrip())}")
        shown = "\n".join(_asserts(_of(row, layout.tests[0]))[: self.show_tests])
        if shown:
            parts.append(f"It has to pass these tests:\n{fenced('python', shown)}")
        return self.prompt_template.replace("{problem}", "\n\n".join(parts))


def _tests(row: Row, layout: _Layout) -> str:
    """The tests as the reward reads them; empty where there are none."""
    given = {name: value for name in layout.tests if (value := _of(row, name)) is not None}
    if len(layout.tests) > 1:
        return json.dumps(given, ensure_ascii=False)
    value = given.get(layout.tests[0], "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _asserts(tests: Any) -> list[str]:
    """The asserts of a list, also of one in JSON."""
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError):
            return []
    texts = tests if isinstance(tests, list) else []
    return [text.strip() for text in texts if isinstance(text, str) and "assert" in text]


def _of(row: Row, name: str) -> Any:
    """The value of a column, dotted inside another; None where there is none."""
    if name in row.values:
        return row.values[name]
    value: Any = row.values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value

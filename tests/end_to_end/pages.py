"""The pages of docs/ as those who follow them use them: files to write, recipes to change, commands to type.

A fenced block is, by its first line or the second word of its fence:

- a file, written where the page says: `# NAME` first, or NAME behind the language;
- a change of the recipe: YAML that begins `# in recipe.yaml`;
- commands, a line each: `sh`;
- an `excerpt`: YAML that changes the recipe and is read and checked only, or commands whose options are
  checked only, as they need a model, a service or data that is not at hand;
- what the commands above it print: `text`. A line `...` stands for what is left out.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import typer.main

import dapo
from dapo.cli.main import app
from dapo.recipe.config import load_recipe
from dapo.recipe.text import read_recipe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRAGMENT, EXCERPT = "in recipe.yaml", "excerpt"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    line: int
    language: str
    name: str
    """The file it goes into, `in recipe.yaml`, or `excerpt`. Empty if there is none."""
    text: str

    @property
    def is_file(self) -> bool:
        return bool(Path(self.name).suffix) and self.name != FRAGMENT

    @property
    def commands(self) -> list[str]:
        return self.text.replace("\\\n", " ").splitlines()


@dataclass(frozen=True)
class Page:
    """A page of docs/."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        found = []
        for match in re.finditer(r"^```(\w*) ?(\S*)\n(.*?)^```$", self.text, flags=re.DOTALL | re.MULTILINE):
            language, name, text = match.groups()
            comment = re.match(r"# (.*)\n", text)
            name = name or (comment[1] if comment else "")
            found.append(Block(self.text.count("\n", 0, match.start()) + 1, language, name, text))
        return found

    @property
    def files(self) -> list[Block]:
        return [block for block in self.blocks if block.is_file]

    @property
    def fragments(self) -> list[Block]:
        return [block for block in self.blocks if block.name == FRAGMENT]

    @property
    def excerpts(self) -> list[Block]:
        return [block for block in self.blocks if block.name == EXCERPT]

    @property
    def shells(self) -> list[Block]:
        return [block for block in self.blocks if block.language == "sh" and block.name != EXCERPT]

    @property
    def outputs(self) -> list[tuple[Block, Block]]:
        """Commands, and what they print."""
        pairs = zip(self.blocks, self.blocks[1:], strict=False)
        return [(one, other) for one, other in pairs if one in self.shells and other.language == "text"]

    def unused(self) -> list[int]:
        """The lines of blocks that are nothing of all this, and so would not be tried."""
        printed = [output for _, output in self.outputs]
        known = [*self.files, *self.fragments, *self.excerpts, *self.shells, *printed]
        return [block.line for block in self.blocks if block not in known]

    def check(self) -> None:
        """Every block is something that is tried, and no fence is without its other end."""
        assert self.unused() == []
        assert self.text.count("```") == 2 * len(self.blocks)
        assert len({block.name for block in self.files}) == len(self.files)

    def write_files(self, directory: Path) -> None:
        for block in self.files:
            (directory / block.name).write_text(block.text, encoding="utf-8")


def changed_recipe(block: Block) -> dict[str, Any]:
    """The recipe in recipe.yaml with the keys of a block in it."""
    Path("changes.yaml").write_text(block.text, encoding="utf-8")
    return {**read_recipe("recipe.yaml"), **read_recipe("changes.yaml")}


def dapo_arguments(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    assert program == "dapo", command
    return arguments


def follow(page: Page, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Type the commands and run the programs of a page in their order; what it shows is what is printed."""
    shown = {commands: output.text for commands, output in page.outputs}
    for block in page.blocks:
        if block in page.shells:
            capsys.readouterr()
            for command in block.commands:
                app(dapo_arguments(command), standalone_mode=False)
            printed = capsys.readouterr().out
            assert not_printed(shown.get(block, ""), printed) == [], f"line {block.line} printed {printed}"
        elif block.language == "python" and block.is_file:
            monkeypatch.setattr(sys, "argv", [block.name])
            runpy.run_path(block.name, run_name="__main__")


def train_one_step(block: Block) -> dict[str, Any]:
    """By the recipe with a block in it. Returns the metrics of the step."""
    settings: dict[str, Any] = {"run.dir": f"line-{block.line}", "eval.limit": 4, "eval.completions": 1}
    run = Path(dapo.train(changed_recipe(block), num_steps=1, **settings)["run"])
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return dict([line for line in lines if "time/step" in line][-1])


def check_excerpt(block: Block) -> None:
    """Have a recipe checked, or the options of commands. Raises where they are refused."""
    if block.language == "yaml":
        load_recipe(changed_recipe(block))
        return
    for command in block.commands:
        check_options(command)


def check_options(text: str) -> None:
    """Have a command parsed, and nothing more. Raises where its options are refused."""
    command, left = typer.main.get_command(app), dapo_arguments(text)
    while hasattr(command, "commands"):
        command = command.commands[left.pop(0)]
    command.make_context("dapo", left)


def not_printed(wanted: str, printed: str) -> list[str]:
    """Lines that a page shows as printed and that were not, in this order, figures and padding aside."""
    lines = iter(list(map(_shape, printed.splitlines())))
    missing = []
    for line in filter(str.strip, wanted.splitlines()):
        if line.strip() != "..." and _shape(line) not in lines:  # which moves on to where it stands
            missing.append(line)
    return missing


def _shape(line: str) -> str:
    return " ".join(re.sub(r"[-+]?\d[\d.,:]*|[·━●#]{3,}", "0", line).split())

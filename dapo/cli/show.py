"""`dapo show`: completions in the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from dapo.errors import UserError
from dapo.run.eval_directory import COMPLETIONS
from dapo.run.eval_records import EvalRecord, read_records

# What a terminal obeys, and what turns the direction of writing: none of it may come from a model.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class ShowOptions:
    """Which completions: those that all given conditions hold for."""

    right: bool = False
    wrong: bool = False
    truncated: bool = False
    no_answer: bool = False
    ungraded: bool = False
    id: str | None = None
    text: str | None = None
    """Must stand in the prompt or in the completion."""
    most: int = 10

    def wanted(self, record: EvalRecord) -> bool:
        """Whether a completion is among them."""
        conditions = (
            (self.right, record.right),
            (self.wrong, not record.right),
            (self.truncated, record.truncated),
            (self.no_answer, record.extracted is None and record.error is None),
            (self.ungraded, record.error is not None),
            (self.id is not None, record.id == self.id),
            (
                self.text is not None,
                self.text in f"{_prompt(record)}\n{record.completion}" if self.text else True,
            ),
        )
        return all(holds for asked, holds in conditions if asked)


def run(path: Path, options: ShowOptions) -> None:
    """Print them, each prompt once above its own."""
    records = read_records(_file(path))
    found = [record for record in records if options.wanted(record)]
    console = Console(highlight=False)
    prompt = None
    for record in found[: options.most]:
        if record.id != prompt:
            prompt = record.id
            _print_prompt(console, record)
        console.print(_verdict(record))
        console.print(Text(visible(record.completion)), soft_wrap=True)
        console.print()
    prompts = len({record.id for record in found})
    shown = f"{min(len(found), options.most)} of {len(found)}"
    console.print(f"{shown} completions of {prompts} prompts shown; --most changes how many", style="dim")


def _file(path: Path) -> Path:
    """The file of completions. Raises UserError for a directory that holds none."""
    if not path.is_dir():
        return path
    if not (path / COMPLETIONS).exists():
        kept = sorted((path / "rollouts").glob("*.jsonl"))
        named = f"a file of its rollouts/, such as {kept[-1]}" if kept else "the directory of an evaluation"
        raise UserError(f"{path} holds no {COMPLETIONS}; name {named}")
    return path / COMPLETIONS


def visible(text: str) -> str:
    """Text with everything a terminal would obey written out, such as `\\x1b`."""
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def _print_prompt(console: Console, record: EvalRecord) -> None:
    console.print(Rule(Text(visible(record.id), style="bold"), align="left"))
    console.print(Text(visible(_prompt(record)), style="cyan"), soft_wrap=True)
    console.print(Text(f"gold answer: {visible(record.answer)}\n", style="dim"), soft_wrap=True)


def _verdict(record: EvalRecord) -> Text:
    right = record.right
    parts: Sequence[str] = [
        f"score {record.score:g}",
        f"answer {visible(record.extracted)}" if record.extracted is not None else "no answer found",
        f"{record.tokens:,} tokens",
        *(["cut at its limit"] if record.truncated else []),
        *([f"not graded: {visible(record.error)}"] if record.error is not None else []),
    ]
    word = ("right", "bold green") if right else ("wrong", "bold red")
    return Text.assemble(f"#{record.index + 1} ", word, (f"  {', '.join(parts)}", "dim"))


def _prompt(record: EvalRecord) -> str:
    """The text of its messages, the roles before them where there are several."""
    texts = []
    for message in record.prompt:
        content = message["content"]
        if not isinstance(content, str):
            content = "".join(part.get("text", f"[{part['type']}]") for part in content or [])
        texts.append(f"{message['role']}: {content}" if len(record.prompt) > 1 else content)
    return "\n".join(texts).strip("\n")

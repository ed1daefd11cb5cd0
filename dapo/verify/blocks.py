"""Where in a completion the answer stands: after the thinking, in a fenced block, behind a marker."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)")


def after_thinking(text: str) -> str:
    """The text after the last `</think>`; all of it where there is none.

    Empty if a `<think>` after it never closes: who is still thinking has not answered.
    """
    _, _, answer = text.rpartition("</think>")
    return "" if "<think>" in answer else answer


def line_after(text: str, marker: str) -> str | None:
    """The rest of the line after the last `marker`, stripped; None if the marker is missing.

    An empty marker gives the whole text, and a tag such as `<answer>` what stands up to its `</answer>`.
    """
    if not marker:
        return text.strip()
    _, found, rest = text.rpartition(marker)
    if found and marker.startswith("<") and marker.endswith(">"):
        return rest.partition(f"</{marker[1:]}")[0].strip()
    return rest.partition("\n")[0].strip() if found else None


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    """The first word after the opening fence, in lower case; empty where there is none."""
    text: str
    """What stands between the fences."""
    closed: bool
    """False if the text ended before the closing fence came."""


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of a text in order, as models write them.

    Looser than CommonMark: a fence may open after words on its line (`The query: ```sql`), a whole block may
    stand on one line, and words may follow the closing fence or stand before it. A fence with a language
    inside a block is content. As in CommonMark, lines lose the indentation of their opening fence. Takes time
    linear in the text.
    """
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    content: list[str] = []
    for line in text.split("\n"):
        if opened is None:
            opened = _opening(line)
            if opened is None:
                continue
            line = line[opened.end() :]
            if not line.strip():
                continue
        end = _closing(line, opened["fence"])
        content.append(line if end is None else line[:end])
        if end is not None:
            blocks.append(_block(opened, content, closed=True))
            opened, content = None, []
    if opened is not None:
        blocks.append(_block(opened, content, closed=False))
    return blocks


def blocks_in(text: str, languages: Iterable[str]) -> list[Block]:
    """The fenced blocks in one of `languages` (lower case; "" for blocks that name none)."""
    wanted = frozenset(languages)
    return [block for block in fenced_blocks(text) if block.language in wanted]


def _opening(line: str) -> re.Match[str] | None:
    """The fence that opens a block on this line: nothing may follow it but its language, or, up to a
    closing fence, the content."""
    match = _FENCE.search(line)
    if match is None:
        return None
    rest = line[match.end() :]
    indented = not line[: match.start()].strip()
    return match if indented or not rest.strip() or _closing(rest, match["fence"]) is not None else None


def _closing(line: str, fence: str) -> int | None:
    """Where the closing fence begins: it starts the line, blanks aside, or ends it."""
    stripped = line.strip()
    if stripped.startswith(fence):
        beyond = stripped.lstrip(fence[0])
        if not beyond or beyond[0].isspace():
            return 0
    if stripped.endswith(fence):
        return len(line.rstrip().rstrip(fence[0]))
    return None


def _block(opened: re.Match[str], content: list[str], closed: bool) -> Block:
    indent = opened.start() if not opened.string[: opened.start()].strip() else 0
    lines = [line[min(indent, len(line) - len(line.lstrip())) :] for line in content]
    return Block(opened["language"].lower(), "\n".join(lines).strip("\r\n"), closed)

"""The prose of a text: what is left without code, formulas and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_ENVIRONMENT = re.compile(r"\\(begin|end)\{[^{}\n]*\}")
_BLOCKS = (("```", "```"), ("~~~", "~~~"), ("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("\\begin", "\\end"))
_INLINE = re.compile(r"`[^`\n]*`|\$[^$\n]*\$|https?://\S+|\\[A-Za-z]+(?:\{[^{}\n]*\})?")


def prose(text: str) -> str:
    """`text` without code blocks, formulas, LaTeX commands and addresses. What never closes is prose."""
    text = _ENVIRONMENT.sub(r"\\\1 ", text)
    for opening, closing in _BLOCKS:
        text = _without(text, opening, closing)
    return _INLINE.sub(" ", text)


def _without(text: str, opening: str, closing: str) -> str:
    kept, position = [], 0
    while (start := text.find(opening, position)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + len(closing)
    return " ".join([*kept, text[position:]])


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """All text of a prompt's messages, a line each. Of images and other media nothing."""
    return "\n".join(text for message in messages for text in _texts(message["content"]))


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if part["type"] == "text"]

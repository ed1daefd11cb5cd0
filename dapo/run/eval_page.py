"""The completions of an evaluation as a page for any browser: one file, without any resource from outside.

Whatever a model wrote is data to this page and never markup. The completions stand in it as JSON in which
`<` is escaped, so that no text can end the element it stands in, and are put on the screen as text. The
page's policy allows its own script alone, by its hash, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

from dapo.run.eval_page_parts import SCRIPT, STYLE
from dapo.run.eval_records import EvalRecord
from dapo.run.files import finite

MOST_CHARACTERS = 20_000_000
"""Of completions on a page. With more a browser is slow; then a page holds the first ones of each prompt."""


def page_lines(
    title: str, groups: Sequence[Sequence[EvalRecord]], most_characters: int = MOST_CHARACTERS
) -> Iterator[str]:
    """The page, piece by piece."""
    shown = _fitting(groups, most_characters)
    policy = f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; base-uri 'none'"
    left_out = len(groups[0]) - shown if groups else 0
    note = (
        f"The first {shown} of the {len(groups[0])} completions of each prompt: all of them would be too "
        "many for a page. completions.jsonl holds them."
        if left_out
        else ""
    )
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    yield f'<header><h1>{html.escape(title)}</h1><p id="count"></p><p>{html.escape(note)}</p>'
    yield '<div id="filters"></div></header>\n<main id="prompts"></main>\n<div id="more"></div>\n'
    yield "<noscript>Completions need JavaScript here; completions.jsonl holds the same.</noscript>\n"
    yield '<script type="application/json" id="data">['
    for number, group in enumerate(groups):
        yield (",\n" if number else "\n") + _escaped(_plain(group[:shown]))
    yield f"\n]</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _plain(group: Sequence[EvalRecord]) -> dict[str, Any]:
    first = group[0]
    return {
        "id": first.id,
        "source": first.source,
        "prompt": [[message["role"], _text(message["content"])] for message in first.prompt],
        "answer": first.answer,
        "completions": [
            {
                "text": record.completion,
                "tokens": record.tokens,
                "end": record.finish_reason,
                "found": record.extracted,
                "score": record.score,
                "error": record.error,
            }
            for record in group
        ],
    }


def _text(content: Any) -> str:
    """A message's text, with the kind of other parts in brackets."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] if part["type"] == "text" else f"[{part['type']}]" for part in content)


def _escaped(value: Any) -> str:
    """JSON that can stand in a script element: neither `</script` nor `<!--` can come up in it."""
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _fitting(groups: Sequence[Sequence[EvalRecord]], most: int) -> int:
    """How many completions of each prompt a page can hold; at least one."""
    size = min((len(group) for group in groups), default=0)
    total = 0
    for index in range(size):
        total += sum(len(group[index].completion) for group in groups)
        if total > most:
            return max(1, index)
    return size


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

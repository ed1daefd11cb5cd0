"""Cutting what a prompt says, and never the chat template's frame around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from dapo.text import TextCodec
from dapo.types import Message

Side = Literal["left", "right", "middle"]
"""Where text is taken away: at its beginning, at its end, or from its centre."""

_WHOLE = ("system", "developer")
"""Roles whose messages are instructions and stay whole."""


def cut_messages(
    messages: Sequence[Message],
    codec: TextCodec,
    max_tokens: int,
    side: Side,
    thinking: bool | None = None,
) -> list[Message] | None:
    """The messages with so much text taken away that the rendered prompt holds at most `max_tokens` tokens.

    The texts of all messages but system messages count as one text, which loses its beginning (`left`), its
    end (`right`) or its centre (`middle`, so that instructions at both ends stay); with one character more
    the prompt would be too long. What the chat template adds stays, and so do parts of a message that are
    no text (images), and special tokens written in a text, as those that stand for images. `thinking` is
    what the template is told, as in `TextCodec.encode`.

    Text is taken away by characters, and tokens are counted in the rendered prompt: a text cut between two
    of its tokens need not be encoded as the tokens that were left.

    Returns None if the prompt would still be too long, or if only white space would be left of the text.
    Raises UserError if the template refuses the messages.
    """
    pieces = [codec.split_special(text) for text in _texts(messages)]
    total = sum(len(plain) for text in pieces for plain in text[::2])

    def keeping(characters: int) -> list[list[str]]:
        start = {"left": 0, "right": characters, "middle": characters // 2}[side]
        return _without(pieces, start, start + total - characters)

    def fits(characters: int) -> bool:
        return len(codec.encode(_with_texts(messages, keeping(characters)), thinking)) <= max_tokens

    if total == 0 or not fits(1):
        return None
    most, too_many = 1, total + 1
    while too_many - most > 1:
        half = (most + too_many) // 2
        most, too_many = (half, too_many) if fits(half) else (most, half)
    left = keeping(most)
    says_something = any(plain.strip() for text in left for plain in text[::2])
    return _with_texts(messages, left) if says_something else None


def _without(pieces: Sequence[Sequence[str]], start: int, end: int) -> list[list[str]]:
    """The texts without the characters `start` to `end`. Special tokens, at odd places, are not counted."""
    shortened = [list(text) for text in pieces]
    offset = 0
    for text in shortened:
        for place in range(0, len(text), 2):
            plain = text[place]
            text[place] = plain[: max(0, start - offset)] + plain[max(0, end - offset) :]
            offset += len(plain)
    return shortened


def _texts(messages: Sequence[Message]) -> list[str]:
    """The texts that may be cut, in order."""
    texts: list[str] = []

    def remember(text: str) -> str:
        texts.append(text)
        return text

    _mapped(messages, remember)
    return texts


def _with_texts(messages: Sequence[Message], pieces: Sequence[Sequence[str]]) -> list[Message]:
    """The messages with the texts that may be cut replaced, in order."""
    texts = iter(pieces)
    return _mapped(messages, lambda text: "".join(next(texts)))


def _mapped(messages: Sequence[Message], change: Callable[[str], str]) -> list[Message]:
    """The messages with every text that may be cut changed."""

    def content(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        return [part(item) for item in value] if isinstance(value, Sequence) else value

    def part(item: Any) -> Any:
        is_text = isinstance(item, Mapping) and item.get("type") == "text"
        return {**item, "text": change(item["text"])} if is_text else item

    return [
        message if message["role"] in _WHOLE else {**message, "content": content(message["content"])}
        for message in messages
    ]

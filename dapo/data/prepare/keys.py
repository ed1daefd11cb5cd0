"""What makes two prompts the same, whoever copied them: a normal form, and hashes of it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from dapo.types import Message

HASH_BYTES = 16
REMEMBERED = 1 << 15
"""Texts whose treatment is remembered: a file that repeats its rows a hundred times is treated once."""


@dataclass(frozen=True)
class Wrappers:
    """Instructions that data sets put around their problems, and that do not make another problem of it."""

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    @cached_property
    def _normal(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        prefixes, suffixes = ([_compact(text) for text in texts] for texts in (self.prefixes, self.suffixes))
        return tuple(filter(None, prefixes)), tuple(filter(None, suffixes))

    def bare(self, text: str) -> str:
        """The text without wrappers that stand around it letter by letter, as it reads."""
        text = text.strip()
        for prefix in self.prefixes:
            text = text.removeprefix(prefix.strip()).strip()
        for suffix in self.suffixes:
            text = text.removesuffix(suffix.strip()).strip()
        return text

    def normal_form(self, text: str) -> str:
        """The text in Unicode's NFKC, without white space, and without any of the wrappers.

        White space goes altogether because copies of one problem differ in the blanks around formulas.
        """
        return self._remembered(text)

    @cached_property
    def _remembered(self) -> Callable[[str], str]:
        return lru_cache(REMEMBERED)(self._normal_form)

    def _normal_form(self, text: str) -> str:
        compact, (prefixes, suffixes) = _compact(text), self._normal
        for _ in range(len(prefixes) + len(suffixes)):
            before = compact
            for prefix in prefixes:
                compact = compact.removeprefix(prefix)
            for suffix in suffixes:
                compact = compact.removesuffix(suffix)
            if compact == before:
                break
        return compact


def prompt_hash(messages: Sequence[Message], wrappers: Wrappers) -> bytes:
    """Of the roles and normal forms of all messages: `HASH_BYTES` bytes, the same on every machine."""
    return hashed(
        part
        for message in messages
        for part in (message["role"], wrappers.normal_form(str(message["content"])))
    )


def hashed(parts: Iterable[str | bytes]) -> bytes:
    """A hash of the parts, in order, that no other way of cutting them has."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def held_out(key: bytes, fraction: float) -> bool:
    """Whether a prompt of this hash belongs to the held-out part of about `fraction` of all prompts.

    It depends on the prompt alone, so that it stays where it is when rows are added or removed.
    """
    return int.from_bytes(key[:8], "big") < fraction * 2**64


def _compact(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())

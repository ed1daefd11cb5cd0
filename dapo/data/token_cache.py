"""Prompts as token ids, kept on disk between runs.

A file belongs to exactly these texts, with thoughts asked for or not, this tokenizer and this template: all
of them are in its name. It holds numbers only (parquet), is there whole or not at all, and is made anew if
anything about it is wrong.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from dapo.text import TextCodec
from dapo.types import Example
from dapo.verify.yuan import thinks

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

VARIABLE = "DAPO_CACHE"
"""Environment variable with the folder for caches. `off` keeps none."""
MIN_PROMPTS = 5000
"""Fewer are tokenized faster than anybody notices."""

_FORMAT = 1
_DIGEST = b"dapo.digest"


@dataclass(frozen=True)
class TokenCache:
    """A folder of tokenized data sets."""

    folder: Path
    min_prompts: int = MIN_PROMPTS

    @staticmethod
    def of_user() -> TokenCache | None:
        """In the folder that `DAPO_CACHE` names, or in the user's cache folder. None if it is `off`."""
        named = os.environ.get(VARIABLE)
        if named == "off":
            return None
        base = Path(named).expanduser() if named else _user_folder() / "dapo"
        return TokenCache(base / "tokens")

    def encode(
        self, examples: Sequence[Example], codec: TextCodec, encode: Callable[[], Iterator[list[int]]]
    ) -> Iterator[list[int]]:
        """The token ids of every example: read, or made by `encode` and kept."""
        if len(examples) < self.min_prompts or _depends_on_the_day(codec):
            yield from encode()
            return
        path = self.folder / f"{_key(examples, codec)}.parquet"
        known = _read(path, len(examples))
        if known is not None:
            yield from known
            return
        made: list[np.ndarray] = []
        for ids in encode():
            made.append(np.asarray(ids, dtype=np.int32))
            yield ids
        _write(path, made)


def _user_folder() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _depends_on_the_day(codec: TextCodec) -> bool:
    """Some templates put today's date into the system message."""
    return "strftime_now" in str(codec.tokenizer.chat_template)


def _key(examples: Sequence[Example], codec: TextCodec) -> str:
    """Of the texts, the tokenizer, the template, and the programs that put them together."""
    tokenizer = codec.tokenizer
    digest = hashlib.blake2b(digest_size=20)
    what = [
        _FORMAT,
        version("transformers"),
        version("tokenizers"),
        type(tokenizer).__name__,
        tokenizer.chat_template,
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else sorted(tokenizer.get_vocab().items()),
    ]
    digest.update(json.dumps(what).encode())
    for example in examples:
        thinking = thinks(example)
        asked = example.messages if thinking is None else [example.messages, thinking]
        text = json.dumps(asked, ensure_ascii=False, default=str)
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _read(path: Path, prompts: int) -> Iterator[list[int]] | None:
    """The token ids in a file. None if there is none, or it is not what was written."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        return None
    try:
        table = pyarrow.parquet.read_table(path).combine_chunks()
        digest = (table.schema.metadata or {}).get(_DIGEST)
        if table.num_rows != prompts or digest != _digest(table):
            raise ValueError("it does not hold what was written to it")
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        log.warning("the token cache %s is damaged (%s); it is made anew", path, error)
        return None
    column = table["token_ids"]
    return (ids.as_py() for ids in column)


def _write(path: Path, made: Sequence[np.ndarray]) -> None:
    """Keeps the token ids. A disk that does not take them costs the next run some time, and nothing else."""
    import pyarrow as pa
    import pyarrow.parquet

    offsets = np.cumsum([0, *map(len, made)], dtype=np.int64)
    values = np.concatenate(made) if made else np.zeros(0, dtype=np.int32)
    table = pa.table({"token_ids": pa.LargeListArray.from_arrays(offsets, values)})
    table = table.replace_schema_metadata({_DIGEST: _digest(table)})
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)
            pyarrow.parquet.write_table(table, file, compression="zstd")
        partial.replace(path)
    except OSError as error:
        log.warning(
            "the token cache %s cannot be written (%s); set %s to another folder", path, error, VARIABLE
        )
        if partial is not None:
            partial.unlink(missing_ok=True)


def _digest(table: pyarrow.Table) -> bytes:
    """Of the numbers in the table."""
    digest = hashlib.blake2b(digest_size=16)
    for chunk in table["token_ids"].chunks:
        digest.update(np.ascontiguousarray(chunk.value_lengths().to_numpy(zero_copy_only=False)).tobytes())
        digest.update(np.ascontiguousarray(chunk.flatten().to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest().encode()

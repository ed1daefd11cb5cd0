"""A held-out part for data that has none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

from dapo.data.dedupe import text_key
from dapo.errors import UserError
from dapo.types import Example


def split_examples(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Train and held-out examples; the held-out ones are `fraction` of the distinct prompts, rounded up.

    Which ones depends on their text alone: copies of a prompt stay together, and neither the order of
    the rows nor a seed matters. Raises UserError if no prompt is left to train on.
    """
    held_out = held_out_keys(examples, fraction)
    train = [example for example in examples if text_key(example) not in held_out]
    return train, [example for example in examples if text_key(example) in held_out]


def held_out_keys(examples: Iterable[Example], fraction: float) -> set[str]:
    """The `text_key`s of the held-out examples, as `split_examples` chooses them."""
    keys = {text_key(example) for example in examples}
    held_out = set(sorted(keys, key=_digest)[: math.ceil(fraction * len(keys))])
    if len(held_out) == len(keys):
        raise UserError(
            f"eval_fraction {fraction} of {len(keys)} distinct prompts leaves none to train on; "
            "make it smaller or name separate data for the evaluation"
        )
    return held_out


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()

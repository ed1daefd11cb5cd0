"""What the rows of Yuan3.0 say of the completions they want: with thoughts or without, and how long.

The columns may stand inside `extra_info`, where Yuan3.0 keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from dapo.errors import UserError
from dapo.types import Example
from dapo.verify.golds import column

REFLECTED: Mapping[str, bool] = MappingProxyType(
    {"llm_math": True, "llm_choice": True, "mllm_normal": False, "mllm_choice": False}
)
"""The reward methods whose rows with thoughts are graded by RIRM, and whether the side penalty (format,
language, repetition) is part of it."""

_TRUTH = {"true": True, "false": False, "": None}


def thinks(example: Example) -> bool | None:
    """Whether the row is to be answered with thoughts: `enable_thinking_flag`. None if it does not say.

    Raises UserError for a flag that is neither true nor false.
    """
    flag = column(example, "enable_thinking_flag")
    if flag is None or isinstance(flag, bool):
        return flag
    if isinstance(flag, (int, float)) and flag in (0, 1):
        return bool(flag)
    if isinstance(flag, str) and flag.strip().lower() in _TRUTH:
        return _TRUTH[flag.strip().lower()]
    raise UserError(
        f"example {example.id}: enable_thinking_flag must be true or false, not {flag!r:.80}; mend the column"
    )


def expected_tokens(example: Example) -> float | None:
    """How long a completion is expected to become, in tokens: `expect_len`. None if the row does not say.

    Yuan3.0 wrote 0 for a length that nobody had given. Raises UserError for what is no number.
    """
    given = column(example, "expect_len")
    try:
        tokens = float(given or 0)
    except (TypeError, ValueError):
        tokens = math.nan
    if not 0 <= tokens < math.inf:
        raise UserError(
            f"example {example.id}: expect_len must be a length in tokens, not {given!r:.80}; mend the column"
        )
    return tokens or None


def reflected(example: Example) -> bool:
    """Whether Yuan3.0 grades the row by RIRM, which punishes a wrong language itself."""
    return thinks(example) is True and column(example, "reward_method") in REFLECTED

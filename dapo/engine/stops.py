"""Why a completion ends: an end token, a stop string, a loop, or its limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dapo.engine.decoder import Integers
from dapo.engine.rows import Rows
from dapo.text import TextCodec
from dapo.types import FinishReason, RepetitionStop, SamplingParams


class Stops:
    """Finds the rows whose completion ends with the token just drawn."""

    def __init__(self, codec: TextCodec, params: SamplingParams) -> None:
        self._codec, self._params = codec, params
        self._eos = np.array(sorted(codec.eos_ids))
        # A token adds at least one byte, so the end of a stop string lies within its last bytes.
        self._window = max((len(stop.encode()) for stop in params.stop), default=0) + 1

    def ended(self, rows: Rows, tokens: Integers) -> dict[int, FinishReason]:
        """The rows that end, in order, and why. An end token goes before a stop string, and so on."""
        found: dict[int, FinishReason] = dict.fromkeys(rows.at_limit, "length")
        found |= dict.fromkeys(self._in_a_loop(rows), "repetition")
        found |= dict.fromkeys(self._at_a_stop(rows), "stop")
        found |= dict.fromkeys(np.flatnonzero((tokens[:, None] == self._eos).any(axis=1)).tolist(), "eos")
        return dict(sorted(found.items()))

    def _in_a_loop(self, rows: Rows) -> list[int]:
        stop = self._params.repetition
        if stop is None:
            return []
        drawn = rows.drawn
        due = np.flatnonzero(drawn % stop.every == 0).tolist()
        return [row for row in due if loops(rows.tail(row, int(drawn[row])), stop)]

    def _at_a_stop(self, rows: Rows) -> list[int]:
        stops = self._params.stop
        if not stops:
            return []
        tails = [self._codec.decode(rows.tail(row, self._window)) for row in range(len(rows))]
        return [row for row, tail in enumerate(tails) if any(stop in tail for stop in stops)]


def loops(token_ids: Sequence[int], stop: RepetitionStop) -> bool:
    """Whether one of the n-grams, overlapping ones too, stands there `times` times or more."""
    count = len(token_ids) - stop.ngram + 1
    if count < stop.times:
        return False
    ids = np.asarray(token_ids)
    windows = np.lib.stride_tricks.sliding_window_view(ids, stop.ngram)
    return max(Counter(window.tobytes() for window in windows).values()) >= stop.times

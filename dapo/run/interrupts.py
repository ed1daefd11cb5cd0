"""SIGTERM and Ctrl-C as requests: the run ends at a place of its own choice, with its state saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_Handler = Callable[[int, FrameType | None], Any] | int | None


class Interrupted(Exception):
    """Work was left off because the run was asked to end. The message names the signal."""


class Interrupts:
    """While entered, SIGTERM and SIGINT (Ctrl-C) are noted instead of ending the process.

    A second SIGINT raises KeyboardInterrupt at once. A signal that the process ignores stays ignored: a shell
    starts its background jobs so. Outside the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """The name of the first signal that came: "SIGTERM" or "SIGINT"."""
        self._pressed = False
        self._former: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._former:
            number, handler = self._former.popitem()
            # None is a handler that was not set from Python: it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def check(self) -> None:
        """Raise Interrupted if the run was asked to end. Costs next to nothing: once per tick is fine."""
        if self.requested is not None:
            raise Interrupted(f"stopped by {self.requested}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._pressed:
                raise KeyboardInterrupt
            self._pressed = True
        if self.requested is None:
            self.requested = signal.Signals(number).name

"""Ctrl-C and SIGTERM end a run at the next step, with a checkpoint; a second one ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop(BaseException):
    """Raised at the step where a run stops because it was asked to. No Exception: nothing takes it for a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.signal: signal.Signals | None = None

    @property
    def asked(self) -> bool:
        return self.signal is not None

    def __str__(self) -> str:
        return self.signal.name if self.signal else "not asked"

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """While this runs, the two signals are remembered. Signals belong to the main thread: elsewhere, nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

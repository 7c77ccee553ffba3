"""How long a process stood still: it was stopped (Ctrl-Z, a cluster's scheduler), or its virtual machine was paused.

Its clock runs on meanwhile, and the kernel does not count that as waiting for a core. A thread that sleeps for a second
at a time detects it by waking late.
"""

from __future__ import annotations

import threading
import time

TICK = 1.0  # seconds that the thread sleeps
LATE = 1.0  # seconds by which it may wake late on a busy machine without counting


class Standstill:
    """Watches from construction to `leave`.

    Attributes:
        seconds: Seconds in which the process stood still.
    """

    def __init__(self) -> None:
        self.seconds, self._began, self._ended = 0.0, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="standstill", daemon=True)
        self._thread.start()

    @property
    def share(self) -> float:
        """The share of the time since it began to watch."""
        return self.seconds / max(time.monotonic() - self._began, TICK)

    def leave(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        slept = time.monotonic()
        while not self._ended.wait(TICK):
            now = time.monotonic()
            late, slept = now - slept - TICK, now
            if late > LATE:
                self.seconds += late

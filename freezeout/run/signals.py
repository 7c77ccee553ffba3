"""Ctrl-C, SIGTERM and the time limit end a run at the next step, with a checkpoint; a second signal ends it at once.

So do a batch system's SIGUSR1 and SIGUSR2 if a handler is installed for them. That handler, which queues the run again,
is called after the checkpoint.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from freezeout.run import limit, worker

PREEMPTING = (signal.SIGUSR1, signal.SIGUSR2)


class Stop(BaseException):
    """Raised at the step at which a run stops because of a signal or because its time is over.

    Not an Exception, so that it is not handled as a fault of the run.

    Args:
        end: When the run has to be done, in seconds since the epoch.

    Attributes:
        signal: The signal received; None if none was.
        margin: Seconds before the end that the run needs for stopping.
    """

    def __init__(self, end: float = math.inf) -> None:
        super().__init__()
        self.end, self.margin = end, 0.0
        self.signal: signal.Signals | None = None

    @property
    def asked(self) -> bool:
        """Whether the run stops after its step: a signal came, the time is over, or its command has died."""
        return self.signal is not None or limit.now() + self.margin >= self.end or worker.is_orphan()

    def __str__(self) -> str:
        if self.signal is not None:
            return self.signal.name
        return "its sweep has died" if worker.is_orphan() else "limit reached"

    def _remember(self, number: int, frame: FrameType | None) -> None:
        """The signal handler.

        Raises:
            KeyboardInterrupt: It is the second signal; the run ends where it is.
        """
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Remember signals inside the `with` block, give the handlers back at its end, and pass on what they missed.

        Signals belong to the main thread: elsewhere nothing is changed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        asking = [signal.SIGTERM] if worker.is_one() else [signal.SIGINT, signal.SIGTERM]
        heard = [number for number in PREEMPTING if callable(signal.getsignal(number))]
        before = {number: signal.signal(number, self._remember) for number in (*asking, *heard)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.signal in heard:
                signal.raise_signal(self.signal)

"""Seconds of training, in blocks of constant prefix, read from a synchronised device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

# Largest number of steps in a block: small enough that a run has many blocks, for a meaningful median over them.
BLOCK = 50


class Clock:
    """Times training in blocks of at most BLOCK steps at one prefix, and the parts of the steps in each block.

    It runs only between `start` and `stop`. Call `mark` before each step with the prefix of the step. Blocks end at
    fixed steps, so that a resumed run has the same blocks as one that was never stopped.

    Args:
        synchronise: Waits until the device has finished its work; called only at the ends of blocks and at `stop`.
        now: Returns the seconds of a monotonic clock.
        stamp: Returns a timestamp. With device events, parts of a step are timed without synchronising the device.
            The default is `now`.
        between: Returns the seconds between two timestamps; called only after `synchronise`.

    Attributes:
        blocks: One entry per block: prefix, step_from, step_to, seconds, and the seconds of each part of its steps.
    """

    def __init__(
        self,
        synchronise: Callable[[], None],
        now: Callable[[], float] = time.perf_counter,
        *,
        stamp: Callable[[], Any] | None = None,
        between: Callable[[Any, Any], float] = lambda a, b: b - a,
    ) -> None:
        self.blocks: list[dict[str, Any]] = []
        self._synchronise = synchronise
        self._now = now
        self._stamp = stamp or now
        self._between = between
        self._since = 0.0
        self._last: Any = None
        self._laps: list[tuple[str, Any, Any]] = []

    @property
    def seconds(self) -> float:
        """Training seconds so far, up to the last `stop` or block end."""
        return sum(block["seconds"] for block in self.blocks)

    def start(self) -> None:
        self._synchronise()
        self._since = self._now()

    def stop(self) -> None:
        self._charge()

    def exclude(self, seconds: float) -> None:
        """Leave out the last `seconds`: they were not spent on training."""
        self._since += seconds
        self._last = None  # otherwise they would be part of this step's laps

    def mark(self, step: int, prefix: int) -> None:
        """Training step `step` with `prefix` frozen stages begins now, including the freeze switch itself."""
        last = self.blocks[-1] if self.blocks else None
        if last is None or last["prefix"] != prefix or step % BLOCK == 0:
            if last is not None:
                self._charge()
            self.blocks.append({"prefix": prefix, "step_from": step, "step_to": step, "seconds": 0.0})
        self.blocks[-1]["step_to"] = step + 1
        self._last = self._stamp()

    def lap(self, part: str) -> None:
        """Attribute the time since `mark`, or since the previous lap, to `part` of the step."""
        if self._last is not None:
            now = self._stamp()
            self._laps.append((part, self._last, now))
            self._last = now

    def _charge(self) -> None:
        self._synchronise()
        now = self._now()
        if self.blocks:
            block = self.blocks[-1]
            block["seconds"] += now - self._since
            for part, a, b in self._laps:
                block[part] = block.get(part, 0.0) + self._between(a, b)
        self._laps.clear()
        self._since = now

    def state_dict(self) -> list[dict[str, Any]]:
        return [dict(block) for block in self.blocks]

    def load_state_dict(self, blocks: list[dict[str, Any]]) -> None:
        self.blocks = [dict(block) for block in blocks]


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_clock(device: torch.device) -> Clock:
    """The clock of training on `device`."""
    if device.type != "cuda":
        return Clock(lambda: None)

    def stamp() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return Clock(lambda: synchronise(device), stamp=stamp, between=lambda a, b: a.elapsed_time(b) / 1000)

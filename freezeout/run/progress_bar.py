"""A run's progress: a bar on a terminal, a line per epoch in a log file; both with the time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from freezeout.run import worker
from freezeout.run.phrases import time_left

SPARSE = 60.0  # least seconds between two lines of a run in a sweep; its end always gets a line


class EpochBar:
    """Shows the steps of one run, and after each epoch its error.

    Args:
        title: The run's name.
        done: Steps done before.
        steps: Steps of the whole run.
        epochs: Epochs of the whole run; the last may be cut short.
        in_sweep: Whether a sweep's own bar is above this one.
    """

    def __init__(self, title: str, done: int, steps: int, epochs: int, *, in_sweep: bool) -> None:
        self._title, self._epochs, self._in_sweep = title, epochs, in_sweep
        self._terminal = sys.stderr.isatty() and not worker.is_one()  # bars of several processes overwrite each other
        self._began = self._said = time.monotonic()
        self._done, self._first, self._steps = done, done, steps
        self._bar = tqdm(
            total=steps,
            initial=done,
            unit="step",
            leave=False,
            dynamic_ncols=True,
            position=1 if in_sweep else 0,
            disable=not self._terminal,
            # Changing values come first: a narrow terminal cuts off the end.
            bar_format="{desc} |{bar:12}| {remaining} left, " + title.replace("{", "(").replace("}", ")"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def update(self) -> None:
        """One more step is done."""
        self._done += 1
        self._bar.update()

    def epoch(self, entry: dict[str, Any], stages: int) -> None:
        """An epoch is over; entry: its line of metrics.jsonl."""
        words = f"epoch {entry['epoch']}/{self._epochs}, error {entry['error']:.1f} %, "
        words += f"{entry['prefix']} of {stages} frozen"
        self._bar.set_description_str(words)
        now = time.monotonic()
        if self._terminal or self._done == self._steps or (self._in_sweep and now - self._said < SPARSE):
            return
        self._said = now
        left = (now - self._began) / (self._done - self._first) * (self._steps - self._done)
        title = f"{self._title}: " if self._in_sweep else ""
        print(f"{title}{words}; {time_left(left)}", file=sys.stderr, flush=True)

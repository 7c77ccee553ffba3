"""How the time is dealt out, and the bar that shows what is left of it."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

# What each part of a network's measurements may take of the time that is left, relative to the others.
WEIGHTS = {"steps": 4.5, "packed": 0.2, "savings": 4.5}


class Budget:
    """The time that is left, dealt out to the parts still to come by their weights."""

    def __init__(self, minutes: float, networks: int) -> None:
        self.end = time.perf_counter() + 60 * minutes
        self._weight = networks * sum(WEIGHTS.values())

    def take(self, part: str) -> float:
        """The moment, of perf_counter, at which `part` should be over."""
        now, weight = time.perf_counter(), WEIGHTS[part]
        end = now + max(0.0, self.end - now) * weight / self._weight
        self._weight -= weight
        return end


class Progress:
    """A bar that is full when the budget is spent, with what is being measured; whole lines beside it."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._began = budget, time.perf_counter()
        self._bar = tqdm(
            total=round(budget.end - self._began),
            leave=False,
            disable=not sys.stderr.isatty(),
            bar_format="{desc} |{bar:20}| {postfix}",
        )

    def at(self, what: str) -> None:
        now = time.perf_counter()
        self._bar.n = min(self._bar.total or 0, round(now - self._began))
        self._bar.set_description_str(what, refresh=False)
        self._bar.set_postfix_str(f"about {max(0.0, self._budget.end - now) / 60:.1f} min left")

    def say(self, line: str) -> None:
        tqdm.write(line)
        sys.stdout.flush()

    def close(self) -> None:
        self._bar.close()

"""Divides the time among the parts of the benchmark, and shows a bar of what is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from tqdm import tqdm

# Weight of each part of a network's measurements in dividing the time left.
WEIGHTS = {"steps": 3.2, "savings": 4.5, "cache": 3.0}


class Budget:
    """The time left, divided by weight among the parts still to come; time that a part does not use goes to the others.

    Args:
        minutes: For everything.
        parts: All that are to come, of WEIGHTS: each network's.
    """

    def __init__(self, minutes: float, parts: Iterable[str]) -> None:
        self.end = time.perf_counter() + 60 * minutes
        self._weight = sum(WEIGHTS[part] for part in parts)

    def take(self, part: str) -> float:
        """Begin `part`; when it should be over, in seconds of `time.perf_counter`."""
        now, weight = time.perf_counter(), WEIGHTS[part]
        end = now + max(0.0, self.end - now) * weight / self._weight
        self._weight -= weight
        return end


class BudgetBar:
    """A bar on the terminal that is full when the budget is spent, with what is being measured; lines go above it."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._began = budget, time.perf_counter()
        self._bar = tqdm(
            total=round(budget.end - self._began),
            leave=False,
            disable=not sys.stderr.isatty(),
            bar_format="{desc} |{bar:20}| {postfix}",
        )

    def measuring(self, what: str) -> None:
        """Show what is being measured from now on."""
        now = time.perf_counter()
        self._bar.n = min(self._bar.total or 0, round(now - self._began))
        self._bar.set_description_str(what, refresh=False)
        left = self._budget.end - now
        self._bar.set_postfix_str(f"about {left / 60:.1f} min left" if left >= 3 else "about to end")

    def write(self, text: str) -> None:
        """Print whole lines on the standard output without tearing the bar."""
        tqdm.write(text)
        sys.stdout.flush()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

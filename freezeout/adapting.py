"""An adaptive strategy at work: shown what was seen in each interval, and asked what is frozen from then on."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from freezeout.observing import OBSERVERS, Observer
from freezeout.schedule import first_step, progress
from freezeout.strategy import Adaptive, State


class Adapting:
    """Holds what an adaptive strategy has decided so far.

    Args:
        strategy: The strategy.
        stages: In running order.
        optimizer: Over their parameters.
        total_steps: Length of the whole run.

    Attributes:
        state: The strategy's.
        times: The fraction of training after which each stage is frozen, as far as that is decided; 1 for the others.
    """

    def __init__(self, strategy: Adaptive, stages: Sequence[nn.Module], optimizer: Optimizer, total_steps: int) -> None:
        self._strategy, self._total_steps = strategy, total_steps
        ends = [first_step(k / strategy.intervals, total_steps) for k in range(1, strategy.intervals)]
        self._ends = sorted({step for step in ends if step})  # the first step after each interval but the last
        self._observer: Observer = OBSERVERS[strategy.observes](stages, optimizer)
        self._settled: int | None = None
        self.state: State = strategy.init(len(stages))
        self.times = [1.0] * len(stages)

    @property
    def most_events(self) -> int:
        """At how many steps something may freeze."""
        return min(len(self._ends), len(self.times) - 1)

    def interval(self, step: int) -> int:
        """The number of the interval that a step lies in."""
        return bisect_right(self._ends, step)

    def until(self, step: int) -> int:
        """The first step after the interval of `step`."""
        return next((end for end in self._ends if end > step), self._total_steps)

    def settle(self, step: int) -> bool:
        """Decide what is to be decided before training step `step`, once; whether more is frozen than before."""
        if step == self._settled or (step and step not in self._ends):
            return False
        self._settled = step
        t, frozen = progress(step, self._total_steps), sum(time < 1.0 for time in self.times)
        prefix = frozen
        if step:
            self.state = self._strategy.update(self.state, t, self._observer.read())
            # The contract, whatever the strategy says: a frozen stage never thaws, and the head never freezes.
            prefix = min(max(frozen, self._strategy.frozen_prefix(self.state, t)), len(self.times) - 1)
            self.times[frozen:prefix] = [t] * (prefix - frozen)
        self._observer.begin(prefix)
        return prefix > frozen

    def state_dict(self) -> dict[str, Any]:
        """Plain data, and the tensors of the interval under way."""
        return {
            "state": copy.deepcopy(self.state),
            "times": list(self.times),
            "settled": self._settled,
            "observed": self._observer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; what was observed of the interval under way is copied."""
        self.state, self.times = copy.deepcopy(state["state"]), list(state["times"])
        self._settled = state["settled"]
        self._observer.load_state_dict(state["observed"])

"""An adaptive strategy in a run: it is given each interval's measurements and asked for the new prefix."""

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
    """Holds an adaptive strategy's decisions so far.

    Args:
        strategy: The strategy.
        stages: In running order.
        optimizer: Over their parameters.
        total_steps: Length of the whole run, in training steps.

    Attributes:
        state: The strategy's state.
        times: Fraction of training after which each stage is frozen; 1 for stages that are not frozen yet.
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
        """The largest possible number of freeze events."""
        return min(len(self._ends), len(self.times) - 1)

    def interval(self, step: int) -> int:
        """The index, from 0, of the interval that contains a step."""
        return bisect_right(self._ends, step)

    def until(self, step: int) -> int:
        """The first step after the interval of `step`."""
        return next((end for end in self._ends if end > step), self._total_steps)

    def settle(self, step: int) -> bool:
        """Decide what to freeze before training step `step`, if an interval ends there; repeated calls do nothing.

        Returns:
            Whether more stages are frozen than before.
        """
        if step == self._settled or (step and step not in self._ends):
            return False
        self._settled = step
        t, frozen = progress(step, self._total_steps), sum(time < 1.0 for time in self.times)
        prefix = frozen
        if step:
            self.state = self._strategy.update(self.state, t, self._observer.read())
            # Enforced whatever the strategy answers: a frozen stage never thaws, and the head never freezes.
            prefix = min(max(frozen, self._strategy.frozen_prefix(self.state, t)), len(self.times) - 1)
            self.times[frozen:prefix] = [t] * (prefix - frozen)
        self._observer.begin(prefix)
        return prefix > frozen

    def state_dict(self) -> dict[str, Any]:
        """Plain data, and the observer's tensors for the current interval."""
        return {
            "state": copy.deepcopy(self.state),
            "times": list(self.times),
            "settled": self._settled,
            "observed": self._observer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; observations of the current interval are copied from it."""
        self.state, self.times = copy.deepcopy(state["state"]), list(state["times"])
        self._settled = state["settled"]
        self._observer.load_state_dict(state["observed"])

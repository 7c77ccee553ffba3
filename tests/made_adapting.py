"""Adaptive strategies for tests, and what trains under them: a plain loop, and 60 steps in any way of executing one."""

from __future__ import annotations

import math

import pytest
import replay
import torch
from made_chains import small_chain
from test_freeze import STEPS as SMALL

from freezeout import FreezeOut
from freezeout.adaptive import AutoFreeze, WeightDelta, change, percentile
from freezeout.strategy import Adaptive

RULES = {"autofreeze": AutoFreeze(intervals=8), "weight_delta": WeightDelta(intervals=8, threshold=0.5)}
every = pytest.mark.parametrize("name", RULES)


def make(strategy, kind: type[FreezeOut] = FreezeOut, total: int = SMALL, **options):
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    return chain, optimizer, kind(chain, optimizer, strategy, total, **options)


class Planned(Adaptive):
    """Freezes as many stages as it was told to after each interval, and keeps what it was shown."""

    intervals, observes = 4, "movement"

    def __init__(self, *prefixes: int) -> None:
        self.prefixes = prefixes

    def init(self, n: int):
        return {"seen": []}

    def update(self, state, t: float, observation):
        return {"seen": [*state["seen"], [t, list(observation)]]}

    def frozen_prefix(self, state, t: float) -> int:
        return self.prefixes[len(state["seen"]) - 1]


def free_run(strategy, network: str = "wrn", **how):
    """Losses of 60 steps, the state at their end, and when each stage froze."""
    seen = []

    class Seen(how.pop("mechanism", FreezeOut)):
        def __init__(self, *given, **named) -> None:
            super().__init__(*given, **named)
            seen.append(self)

    steps = list(replay.replay(replay.load(network), strategy=strategy, mechanism=Seen, **how))
    return ([loss for loss, _, _ in steps], steps[-1][2].state_dict()), seen[0].times


class Watched(Adaptive):
    """An adaptive strategy, and how far its decisions were from being others.

    Attributes:
        margin: The least distance, as a share, of what was compared from what it was compared with.
    """

    observes = ""

    def __init__(self, strategy: AutoFreeze | WeightDelta) -> None:
        self.strategy, self.margin = strategy, math.inf
        self.intervals, self.observes, self.bn = strategy.intervals, strategy.observes, strategy.bn

    def init(self, n: int):
        return self.strategy.init(n)

    def update(self, state, t: float, observation):
        active = slice(state["prefix"], -1)
        if isinstance(self.strategy, WeightDelta):
            values, limit = observation[active], self.strategy.threshold
        elif state["norms"] is None:
            values, limit = [], 1.0
        else:
            values = [change(a, b) for a, b in zip(state["norms"][active], observation[active], strict=True)]
            limit = percentile(values, self.strategy.percentile)
        # The one that is the limit, as the middle one of three is, is so however it is rounded.
        self.margin = min([self.margin, *(abs(value / limit - 1) for value in values if value != limit)])
        return self.strategy.update(state, t, observation)

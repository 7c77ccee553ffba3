"""Adaptive strategies: what freezes, and when, is decided at the ends of intervals by what was seen in them.

Standard library only. The measurements themselves are made by `freezeout.observing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

from freezeout.checks import check_choice, check_share, check_whole
from freezeout.strategy import MOST_EPOCHS, NORMS, Adaptive, State


@dataclass(kw_only=True)
class AutoFreeze(Adaptive):
    """Freezes the leading stages whose gradient changes less than that of others from interval to interval.

    Of each interval the gradients of all steps are summed; the L1 norms of a stage's sums are added up. A stage's
    change is |norm of the interval before - norm| / norm of the interval before. At the end of every interval from the
    second on, stages freeze from the first active one on, up to the first whose change reaches the percentile of the
    changes of all active stages. The head never freezes and is not among them, and a stage without gradients (frozen by
    the user) counts as one that does not change, and not among those whose percentile is taken. The learning rate is
    the baseline's.

    Attributes:
        intervals: As many decisions but one are made in a run: at least 2; the source has 10 by default.
        percentile: In (0, 100]; the source's 50 is the median.
        bn: See Strategy.

    Source: Liu, Agarwal and Venkataraman 2021, AutoFreeze (arXiv 2102.01386), as its released code computes it
    (github.com/YuhanLiu11/AutoFreeze, freeze_intermediate_e2e_lr.py). There it fine-tunes BERT, whose 12 encoder blocks
    are the candidates, under a rate of its own that falls at each freeze.
    """

    swept: ClassVar[tuple[str, ...]] = ("percentile",)
    observes: ClassVar[str] = "gradient"
    intervals: int = 10
    percentile: float = 50.0
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_whole("strategy.intervals", self.intervals, 2, MOST_EPOCHS)
        check_share("strategy.percentile", self.percentile, most=100)
        check_choice("strategy.bn", self.bn, NORMS)

    def init(self, n: int) -> State:
        return {"prefix": 0, "norms": None}

    def update(self, state: State, t: float, observation: Sequence[float]) -> State:
        prefix, before = state["prefix"], state["norms"]
        if before is not None:
            pairs = list(zip(before[prefix:-1], observation[prefix:-1], strict=True))
            # A stage whose every weight the user has frozen stands still, and is no measure of the others.
            limit = percentile([change(a, b) for a, b in pairs if a or b], self.percentile)
            prefix += next((i for i, (a, b) in enumerate(pairs) if change(a, b) >= limit), 0)
        return {"prefix": prefix, "norms": list(observation)}


@dataclass(kw_only=True)
class WeightDelta(Adaptive):
    """Freezes the leading stages whose weights have all but stopped: by their relative movement over an interval.

    A stage's movement is the L2 norm of the difference between its weights at the end and at the start of the interval,
    over that of its weights at the start. At the end of every interval stages freeze from the first active one on, up
    to the first that has moved by the threshold or more. The learning rate is the baseline's, so that every stage comes
    to rest in the end: the threshold says how much rest is enough.

    Attributes:
        intervals: The run is divided into; at least 2.
        threshold: Movement below which a stage counts as at rest, above 0.
        bn: See Strategy.

    Source: ours, the plainest rule of its kind: what papers measure to find converged layers (gradients, outputs
    against a reference), it replaces by the weights themselves, which cost nothing to watch between two intervals.
    """

    swept: ClassVar[tuple[str, ...]] = ("threshold",)
    observes: ClassVar[str] = "movement"
    intervals: int = 20
    threshold: float = 0.05
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_whole("strategy.intervals", self.intervals, 2, MOST_EPOCHS)
        if not (isinstance(self.threshold, Real) and 0 < self.threshold < math.inf):
            raise ValueError(f"strategy.threshold={self.threshold}: must be a number above 0")
        check_choice("strategy.bn", self.bn, NORMS)

    def init(self, n: int) -> State:
        return {"prefix": 0}

    def update(self, state: State, t: float, observation: Sequence[float]) -> State:
        active = observation[state["prefix"] : -1]
        # `not <`: a stage whose weights are no numbers does not count as at rest.
        at_rest = next((i for i, moved in enumerate(active) if not moved < self.threshold), len(active))
        return {"prefix": state["prefix"] + at_rest}


def change(before: float, now: float) -> float:
    """The relative change of a norm; infinite where that is no number, and 0 where there was nothing and is nothing."""
    if before == now == 0:
        return 0.0
    found = abs(before - now) / before if before else math.inf
    return math.inf if math.isnan(found) else found


def percentile(values: Sequence[float], q: float) -> float:
    """As numpy gives it: between two of the ordered values on the straight line that joins them. None: infinite."""
    if not values:
        return math.inf
    ordered = sorted(values)
    place = q / 100 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    if place == low or ordered[low] == ordered[high]:
        return ordered[low]
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


ADAPTIVE: dict[str, type[Adaptive]] = {"autofreeze": AutoFreeze, "weight_delta": WeightDelta}

"""Adaptive strategies: at the end of each interval, they decide from measurements which stages to freeze.

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
    """Freezes the leading stages whose gradient norm changes less between intervals than that of other stages.

    In each interval, the gradients of all steps are summed; a stage's norm is the L1 norm of its summed gradients. Its
    change is |previous interval's norm - norm| / previous interval's norm. A decision is made at the end of every
    interval from the second on, except the last: stages freeze in order from the first active one, up to but excluding
    the first whose change is at least the given percentile of the changes of all active stages. The head never freezes
    and is not counted among them. A stage without gradients (frozen by the user) counts as unchanged, and is left out
    of the percentile. The learning rate is the baseline's.

    Attributes:
        intervals: Number of intervals in a run, at least 2; the source's default is 10.
        percentile: In (0, 100]; the source's 50 is the median.
        bn: See Strategy.

    Source: Liu, Agarwal and Venkataraman 2021, AutoFreeze (arXiv 2102.01386), as computed by its released code
    (github.com/YuhanLiu11/AutoFreeze, freeze_intermediate_e2e_lr.py). That code fine-tunes BERT, whose 12 encoder
    blocks are the candidates, with a learning rate of its own that is lowered at each freeze.
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
            # A stage whose weights are all frozen by the user never changes, so it is left out of the percentile.
            limit = percentile([change(a, b) for a, b in pairs if a or b], self.percentile)
            prefix += next((i for i, (a, b) in enumerate(pairs) if change(a, b) >= limit), 0)
        return {"prefix": prefix, "norms": list(observation)}


@dataclass(kw_only=True)
class WeightDelta(Adaptive):
    """Freezes the leading stages whose weights hardly change, by their relative change over an interval.

    A stage's movement is the L2 norm of the difference between its weights at the end and at the start of the interval,
    divided by that of its weights at the start. At the end of every interval except the last, stages freeze in order
    from the first active one, up to but excluding the first whose movement is at least the threshold. The learning rate
    is the baseline's, which falls to 0, so the movement of every stage does too: a smaller threshold freezes later.

    Attributes:
        intervals: Number of intervals in a run, at least 2.
        threshold: Movement below which a stage is frozen, above 0.
        bn: See Strategy.

    Source: ours, the simplest rule of its kind. To find converged layers, papers measure gradients, or outputs against
    a reference; this uses the weights themselves, which cost nothing to observe during an interval.
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
        # `not <`: a stage whose movement is NaN must not freeze.
        at_rest = next((i for i, moved in enumerate(active) if not moved < self.threshold), len(active))
        return {"prefix": state["prefix"] + at_rest}


def change(before: float, now: float) -> float:
    """The relative change of a norm: 0 if both values are 0; infinite if only `before` is, or if the result is NaN."""
    if before == now == 0:
        return 0.0
    found = abs(before - now) / before if before else math.inf
    return math.inf if math.isnan(found) else found


def percentile(values: Sequence[float], q: float) -> float:
    """The q-th percentile with linear interpolation, as numpy computes it; infinite if there are no values."""
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

"""When each stage freezes and what its learning rate is before that: arithmetic on t, standard library only.

t in [0, 1] is the fraction of training completed. Step s of N has t = s / N (`progress`); schedules use no other clock.
Source: Brock et al. 2017, section 2 (equation 1); the factor 1/2, which the equation lacks, is in its released code.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

POWERS = {"linear": 1, "squared": 2, "cubic": 3}


def progress(step: int, total_steps: int) -> float:
    """t of training step `step` (counted from 0); the only place where steps are converted to a fraction."""
    return step / total_steps


def cost_depths(costs: Sequence[float]) -> tuple[float, ...]:
    """Depth of each stage by cost: the cost of the stages before it, divided by that of all stages before the head.

    Args:
        costs: Cost of each stage, in any unit, non-negative. The head's is ignored: it never freezes.

    Returns:
        One depth in [0, 1] per stage: 0 for the first, 1 for the head; i / (n - 1) if all costs are equal.

    Raises:
        ValueError: The stages before the head cost nothing.
    """
    before = [0.0, *accumulate(costs[:-1])]
    if len(costs) > 1 and not before[-1] > 0:
        raise ValueError("the stages before the head cost nothing: a depth is a share of their cost")
    return (*(cost / before[-1] for cost in before[:-1]), 1.0)


def freeze_times(n: int, t_0: float, power: int, depths: Sequence[float] | None = None) -> tuple[float, ...]:
    """t_i of each of n stages: ((1 - d) t_0 + d) ** power with d = i / (n - 1); exactly 1 for the last.

    Args:
        n: Number of stages.
        t_0: When stage 0 freezes, in (0, 1], before the power is applied, as in the original code: with the cubic
            schedule, t_0 = 0.8 freezes stage 0 at t = 0.512.
        power: 1 linear, 2 squared, 3 cubic.
        depths: d of each stage, in [0, 1] and never decreasing; None takes i / (n - 1).

    Returns:
        The time at which each stage freezes, as a fraction of training; never decreasing.

    Raises:
        ValueError: n < 1, t_0 outside (0, 1] (NaN included) or a power below 1.

    Source: Brock et al. 2017, section 2.
    """
    if n < 1:
        raise ValueError(f"n={n}: a chain has at least one stage")
    if not 0 < t_0 <= 1:
        raise ValueError(f"t_0={t_0}: must lie in (0, 1]")
    if power < 1:
        raise ValueError(f"power={power}: must be at least 1")
    # t_0 + d (1 - t_0) is the same line. Capped: rounding may take it above 1, the head's time.
    d = [i / (n - 1) for i in range(n - 1)] if depths is None else depths[: n - 1]
    times = [min(1.0, t_0 + d_i * (1 - t_0)) ** power for d_i in d]
    # Rounded to 15 digits: 0.8 ** 3 is 0.5120000000000001 in floats and would freeze one step after t = 0.512.
    return (*(float(f"{t:.15g}") for t in times), 1.0)


def lr_factor(t: float, t_i: float, *, scaled: bool) -> float:
    """Learning rate at t of a stage that freezes at t_i, in units of the base rate; 0 from t_i on.

    Args:
        t: Fraction of training completed.
        t_i: Fraction of training at which the rate reaches 0.
        scaled: Start at 1 / t_i instead of 1, so that every stage's learning rate has the same integral over training.

    Returns:
        Half a cosine, from 1 (or 1 / t_i) at t = 0 to 0 at t_i.
    """
    if t >= t_i:
        return 0.0
    # cos(x / 2) ** 2 is the same half cosine; unlike 0.5 (1 + cos x) it does not round to 0 just before t_i.
    return math.cos(0.5 * math.pi * (t / t_i)) ** 2 / (t_i if scaled else 1.0)


def frozen_prefix(t: float, times: Sequence[float]) -> int:
    """Number of leading stages frozen at t: stage i is frozen once t >= times[i]. `times` must not decrease."""
    return bisect_right(times, t)


def linear_depth(n: int, t: float, start: float, level: float) -> tuple[int, float]:
    """Layers frozen at t when the frozen share rises linearly from 0 at `start` to `level` at the end of training.

    Args:
        n: Number of layers. The last one never freezes, so the share refers to n - 1 of them.
        t: Fraction of training completed.
        start: Fraction of training at which freezing begins, in [0, 1).
        level: Share that is frozen at the end, in [0, 1].

    Returns:
        The number of frozen layers, rounded down, and the share itself.

    Source: Composer 0.32, composer/algorithms/layer_freezing.
    """
    # In Composer's order of operations, so that rounding down gives the same number.
    share = max(0.0, level * ((t - start) / (1 - start)))
    return math.floor(share * (n - 1)), share


@dataclass(frozen=True)
class Schedule:
    """A strategy's times for n stages: when each stage freezes and when its rate reaches 0, as fractions of training.

    Attributes:
        freeze: Stage i leaves the backward pass at freeze[i]. Never decreasing; exactly 1 for the head.
        anneal: The learning rate of stage i reaches 0 at anneal[i]. FreezeOut uses the same times for both. Its
            controls use them for one: lr_only for anneal, freeze_only for freeze.
        scaled: Whether the initial rate of stage i is multiplied by 1 / anneal[i].

    Raises:
        ValueError: The two tuples differ in length or are empty, the freeze times decrease, or the head's is not 1.
    """

    freeze: tuple[float, ...]
    anneal: tuple[float, ...]
    scaled: bool = False

    def __post_init__(self) -> None:
        freeze, anneal = len(self.freeze), len(self.anneal)
        if freeze != anneal or not freeze:
            raise ValueError(f"{freeze} freeze times and {anneal} annealing times: need one per stage")
        if any(not a <= b for a, b in pairwise(self.freeze)):  # `not`: a NaN fails too
            raise ValueError(f"freeze times {self.freeze} decrease: only a frozen prefix shortens the backward pass")
        if self.freeze[-1] != 1.0:
            raise ValueError(f"the head's freeze time is {self.freeze[-1]}: it must be exactly 1")

    def prefix(self, step: int, total_steps: int) -> int:
        """Number of frozen leading stages during training step `step`."""
        return frozen_prefix(progress(step, total_steps), self.freeze)

    def factors(self, step: int, total_steps: int) -> list[float]:
        """Learning rate of each stage during training step `step`, in units of the base rate."""
        t = progress(step, total_steps)
        return [lr_factor(t, t_i, scaled=self.scaled) for t_i in self.anneal]

    def factors_between(self, start: int, stop: int, total_steps: int) -> np.ndarray:
        """`factors` of the steps in [start, stop), as a float64 array of shape (steps, stages).

        About a hundred times as fast as one step at a time, with results equal in float32 (numpy's cosine may differ in
        the last bit of a float64).
        """
        import numpy as np  # only here: the rest of this module needs the standard library only

        t, anneal = np.arange(start, stop)[:, None] / total_steps, np.array(self.anneal)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 for a stage that is frozen from the start
            factor = np.cos(0.5 * math.pi * (t / anneal)) ** 2 / (anneal if self.scaled else 1.0)
        return np.where(t >= anneal, 0.0, factor)

    def freeze_step(self, i: int, total_steps: int) -> int | None:
        """First step at which stage i is frozen; None for a stage that trains to the end."""
        return first_step(self.freeze[i], total_steps)

    def freeze_steps(self, total_steps: int) -> list[int | None]:
        """`freeze_step` of every stage."""
        return [self.freeze_step(i, total_steps) for i in range(len(self.freeze))]

    def events(self, total_steps: int) -> list[int]:
        """The steps at which at least one stage freezes, in order."""
        return sorted({s for s in self.freeze_steps(total_steps) if s is not None})

    def with_events(self, most: int, total_steps: int) -> Schedule:
        """The schedule limited to `most` freeze events: some stages freeze later, with unchanged learning rates.

        Consecutive events are merged into `most` groups of sizes as equal as possible; each group freezes at its last
        event.
        """
        steps = self.freeze_steps(total_steps)
        at = self.events(total_steps)
        if len(at) <= most:
            return self
        ends = [(j + 1) * len(at) // most - 1 for j in range(most)]
        freeze = list(self.freeze)
        for i, step in enumerate(steps):
            if step is not None:
                end = at[ends[bisect_left(ends, at.index(step))]]
                freeze[i] = max(t for t, s in zip(self.freeze, steps, strict=True) if s == end)
        return replace(self, freeze=tuple(freeze))

    def segments(self, total_steps: int) -> list[tuple[int, int, int]]:
        """(prefix, first step, step after the last) of each piece of the run with a constant prefix, in order."""
        cuts = sorted({0, total_steps, *self.events(total_steps)})
        return [(self.prefix(a, total_steps), a, b) for a, b in pairwise(cuts)]


def first_step(t_i: float, total_steps: int) -> int | None:
    """The first step s < total_steps with s / total_steps >= t_i; None when there is none."""
    step = max(0, math.floor(t_i * total_steps) - 1)
    while step < total_steps and progress(step, total_steps) < t_i:
        step += 1
    return step if step < total_steps else None

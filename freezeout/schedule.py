"""When each stage freezes and what its learning rate is before that: arithmetic on t, standard library only.

t in [0, 1] is the fraction of training completed. Step s of N has t = s / N (`progress`), the only clock of schedules.
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
    """t of training step `step` (counted from 0): the one place where steps become a fraction."""
    return step / total_steps


def cost_depths(costs: Sequence[float]) -> tuple[float, ...]:
    """How deep each stage lies, by cost: the share of the cost of all stages but the head that lies before it.

    0 for the first and 1 for the head; i / (n - 1) where all cost the same.

    Args:
        costs: Of each stage, in any unit, none below 0. The head's is not looked at: it never freezes.

    Raises:
        ValueError: The stages before the head cost nothing.
    """
    before = [0.0, *accumulate(costs[:-1])]
    if len(costs) > 1 and not before[-1] > 0:
        raise ValueError("the stages before the head cost nothing: a depth is a share of what they cost")
    return (*(cost / before[-1] for cost in before[:-1]), 1.0)


def freeze_times(n: int, t_0: float, power: int, depths: Sequence[float] | None = None) -> tuple[float, ...]:
    """t_i of each of n stages: ((1 - d) t_0 + d) ** power with d = i / (n - 1); exactly 1 for the last.

    Args:
        n: Number of stages.
        t_0: When stage 0 freezes, in (0, 1], before the power is applied, as in the original code: t_0 = 0.8 cubed
            freezes stage 0 at t = 0.512.
        power: 1 linear, 2 squared, 3 cubic.
        depths: d of each stage, where it is not its index's: in [0, 1], never decreasing.

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
    # t_0 + d (1 - t_0) is the same line; capped, because its last ulp may pass 1 and the head never freezes early.
    d = [i / (n - 1) for i in range(n - 1)] if depths is None else depths[: n - 1]
    times = [min(1.0, t_0 + d_i * (1 - t_0)) ** power for d_i in d]
    # To 15 digits: 0.8 ** 3 is 0.5120000000000001 in floats and would freeze a step after t = 0.512.
    return (*(float(f"{t:.15g}") for t in times), 1.0)


def lr_factor(t: float, t_i: float, *, scaled: bool) -> float:
    """Learning rate at t of a stage that freezes at t_i, in units of the base rate; 0 from t_i on.

    Half a cosine from 1 (scaled: 1 / t_i, so that every stage travels the same total distance) to 0.
    """
    if t >= t_i:
        return 0.0
    # cos(x / 2) ** 2 is the same half cosine; unlike 0.5 (1 + cos x) it does not round to 0 just before t_i.
    return math.cos(0.5 * math.pi * (t / t_i)) ** 2 / (t_i if scaled else 1.0)


def frozen_prefix(t: float, times: Sequence[float]) -> int:
    """How many leading stages are frozen at t: stage i is frozen once t >= t_i. `times` never decrease."""
    return bisect_right(times, t)


def linear_depth(n: int, t: float, start: float, level: float) -> tuple[int, float]:
    """How many of n layers are frozen at t, and the share: from 0 at `start` linearly to `level` at the end.

    The last layer never freezes, so that the share is of n - 1; rounded down.

    Source: Composer 0.32, composer/algorithms/layer_freezing.
    """
    # In Composer's order of operations: its floor then rounds as ours does.
    share = max(0.0, level * ((t - start) / (1 - start)))
    return math.floor(share * (n - 1)), share


@dataclass(frozen=True)
class Schedule:
    """What a strategy makes of n stages: two times for each, as fractions of training.

    Attributes:
        freeze: Stage i leaves the backward pass at freeze[i]. Never decreasing; exactly 1 for the head.
        anneal: The learning rate of stage i reaches 0 at anneal[i]. FreezeOut uses the same times for both; its two
            controls, lr_only and freeze_only, use one each.
        scaled: Whether the initial rate of stage i is multiplied by 1 / anneal[i].

    Raises:
        ValueError: The times do not match, decrease, or leave the head frozen inside a run.
    """

    freeze: tuple[float, ...]
    anneal: tuple[float, ...]
    scaled: bool = False

    def __post_init__(self) -> None:
        freeze, anneal = len(self.freeze), len(self.anneal)
        if freeze != anneal or not freeze:
            raise ValueError(f"{freeze} freeze times and {anneal} annealing times: need one each a stage")
        if any(not a <= b for a, b in pairwise(self.freeze)):  # `not`: a NaN fails too
            raise ValueError(f"freeze times {self.freeze} decrease: only a frozen prefix shortens the backward pass")
        if self.freeze[-1] != 1.0:
            raise ValueError(f"the head's freeze time is {self.freeze[-1]}: it must be exactly 1")

    def prefix(self, step: int, total_steps: int) -> int:
        """Frozen leading stages during training step `step`."""
        return frozen_prefix(progress(step, total_steps), self.freeze)

    def factors(self, step: int, total_steps: int) -> list[float]:
        """Learning rate of each stage during training step `step`, in units of the base rate."""
        t = progress(step, total_steps)
        return [lr_factor(t, t_i, scaled=self.scaled) for t_i in self.anneal]

    def factors_between(self, start: int, stop: int, total_steps: int) -> np.ndarray:
        """`factors` of the steps from `start` to before `stop`, all at once: float64 (steps, stages).

        Some hundred times as fast as step by step, and equal to it in float32 (numpy's cosine may differ in the last
        bit of a float64).
        """
        import numpy as np  # only here: whoever asks for a single step does without it

        t, anneal = np.arange(start, stop)[:, None] / total_steps, np.array(self.anneal)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 of a stage that is frozen from the start
            factor = np.cos(0.5 * math.pi * (t / anneal)) ** 2 / (anneal if self.scaled else 1.0)
        return np.where(t >= anneal, 0.0, factor)

    def freeze_step(self, i: int, total_steps: int) -> int | None:
        """First step at which stage i is frozen; None for a stage that trains to the end."""
        return first_step(self.freeze[i], total_steps)

    def freeze_steps(self, total_steps: int) -> list[int | None]:
        """`freeze_step` of every stage."""
        return [self.freeze_step(i, total_steps) for i in range(len(self.freeze))]

    def events(self, total_steps: int) -> list[int]:
        """The steps at which something freezes, in order."""
        return sorted({s for s in self.freeze_steps(total_steps) if s is not None})

    def with_events(self, most: int, total_steps: int) -> Schedule:
        """The schedule that freezes at no more than `most` steps: some stages wait for later ones, rates untouched.

        The events are divided into `most` runs of neighbours, as equal as can be; all of a run happen at its last one.
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
        """The run as (prefix, first step, step after the last) pieces of constant prefix, in order."""
        cuts = sorted({0, total_steps, *self.events(total_steps)})
        return [(self.prefix(a, total_steps), a, b) for a, b in pairwise(cuts)]


def first_step(t_i: float, total_steps: int) -> int | None:
    """The first step s < total_steps with s / total_steps >= t_i; None when there is none."""
    step = max(0, math.floor(t_i * total_steps) - 1)
    while step < total_steps and progress(step, total_steps) < t_i:
        step += 1
    return step if step < total_steps else None

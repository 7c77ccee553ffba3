"""One dataclass per strategy: its fields are its configuration, `schedule(n)` what it does to n stages.

Each class is its own Hydra schema, so fields carry the names that people know from the original code. A new strategy is
a class here, a line in STRATEGIES and a yaml file in conf/strategy/.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from freezeout.checks import check_choice, check_share
from freezeout.schedule import POWERS, Schedule, freeze_times, linear_depth

NORMS = ("eval", "train")
LONGEST = 2  # times the plain recipe's steps: the largest budget


class Strategy(ABC):
    """Which stages freeze when, under which learning rates, and for how many steps a run of it trains.

    Attributes:
        bn: How a frozen stage normalises: "eval" with its running statistics, which stand still, or "train" with those
            of the batch, which keep moving its running statistics.
        swept: Names of the fields that are varied along a curve of a plot. Configurations that differ in nothing else
            belong to one series.
    """

    bn: str = "eval"
    swept: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def schedule(self, n: int) -> Schedule:
        """The freeze and annealing times of a network of n stages."""

    def steps(self, full: int, saving: float | None) -> int:
        """Training steps of a run.

        Args:
            full: Steps of the plain recipe: epochs times steps per epoch.
            saving: Expected saving of a run of `full` steps, as a fraction of the baseline's time; None if unknown.

        Raises:
            ValueError: The number of steps depends on the saving, and that is unknown.
        """
        return full

    def followed(self) -> Strategy:
        """The strategy that training follows once the number of steps is known.

        Strategies that differ only in how many steps they ask for follow the same one, so that equal runs are one run:
        a shortened baseline is the baseline with fewer steps.
        """
        return self

    def power_law(self) -> tuple[float, str] | None:
        """(t_0, how_scale) of a strategy whose freeze times are the paper's and whose steps are the plain recipe's.

        None for all others: the paper's estimate of the saving is not about them.
        """
        return None


@dataclass(kw_only=True)
class Baseline(Strategy):
    """Everything trains to the end under one cosine."""

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=(1.0,) * n, anneal=(1.0,) * n)


@dataclass(kw_only=True)
class FreezeOut(Strategy):
    """The paper's strategy: stage i anneals to zero at t_i and freezes there (Brock et al. 2017, section 2).

    Attributes:
        t_0: When stage 0 freezes, as a fraction of training in (0, 1], before the power is applied.
        how_scale: "linear", "squared" or "cubic": the power applied to a straight line from t_0 to 1.
        scale_lr: Whether stage i starts at base / t_i, so that all stages travel the same distance.
        bn: See Strategy.
        const_time: Train for more steps, as many as take the baseline's time (the original code's option of that name).

    Raises:
        ValueError: A field lies outside its range.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True
    bn: str = "eval"
    const_time: bool = False

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        times = freeze_times(n, self.t_0, POWERS[self.how_scale])
        return Schedule(freeze=times, anneal=times, scaled=self.scale_lr)

    def steps(self, full: int, saving: float | None) -> int:
        if not self.const_time:
            return full
        if saving is None:
            raise ValueError("strategy.const_time=true: this network's stages cannot be costed one by one")
        return round(full / (1 - saving))

    def followed(self) -> FreezeOut:
        return replace(self, const_time=False)

    def power_law(self) -> tuple[float, str] | None:
        return None if self.const_time else (self.t_0, self.how_scale)


@dataclass(kw_only=True)
class LrOnly(Strategy):
    """Control: FreezeOut's learning rates, but nothing is frozen and no time is saved.

    Attributes:
        t_0, how_scale, scale_lr: As of FreezeOut.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))

    def schedule(self, n: int) -> Schedule:
        times = freeze_times(n, self.t_0, POWERS[self.how_scale])
        return Schedule(freeze=(1.0,) * n, anneal=times, scaled=self.scale_lr)


@dataclass(kw_only=True)
class FreezeOnly(Strategy):
    """Control: FreezeOut's freeze times under the baseline's learning rate.

    Attributes:
        t_0, how_scale, bn: As of FreezeOut.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=freeze_times(n, self.t_0, POWERS[self.how_scale]), anneal=(1.0,) * n)

    def power_law(self) -> tuple[float, str]:
        return self.t_0, self.how_scale


@dataclass(kw_only=True)
class Shortened(Strategy):
    """The rival to beat: the plain recipe, its whole schedule included, in a fraction of the steps.

    Attributes:
        budget: The fraction of the steps, in (0, 2]. Above 1 it lengthens the curve, for what saves nothing.

    Raises:
        ValueError: The budget lies outside.
    """

    swept: ClassVar[tuple[str, ...]] = ("budget",)
    budget: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.budget <= LONGEST:
            raise ValueError(f"strategy.budget={self.budget}: must lie in (0, {LONGEST}]")

    def schedule(self, n: int) -> Schedule:
        return self.followed().schedule(n)

    def steps(self, full: int, saving: float | None) -> int:
        return max(1, round(self.budget * full))

    def followed(self) -> Baseline:
        return Baseline()


def once_an_epoch(n: int, epochs: int, frozen: list[int]) -> Schedule:
    """A schedule that freezes frozen[e] leading stages at the start of epoch e, under the baseline's rate."""
    times = [next((e / epochs for e in range(epochs) if frozen[e] > i), 1.0) for i in range(n - 1)]
    return Schedule(freeze=(*times, 1.0), anneal=(1.0,) * n)


@dataclass(kw_only=True)
class LayerFreezing(Strategy):
    """MosaicML Composer's layer freezing, once an epoch, under the baseline's learning rate.

    Attributes:
        epochs: Length of the run.
        freeze_start: Fraction of training from which on stages freeze, in [0, 1).
        freeze_level: Share of the stages that are frozen at the end, in [0, 1]; reached linearly.
        bn: See Strategy; "train" as in Composer.

    Source: Composer 0.32, composer/algorithms/layer_freezing.
    """

    swept: ClassVar[tuple[str, ...]] = ("freeze_start",)
    epochs: int
    freeze_start: float = 0.5
    freeze_level: float = 1.0
    bn: str = "train"

    def __post_init__(self) -> None:
        check_share("strategy.freeze_start", self.freeze_start, zero=True, one=False)
        check_share("strategy.freeze_level", self.freeze_level, zero=True)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        passed = [e / self.epochs for e in range(self.epochs)]
        depths = [linear_depth(n, t, self.freeze_start, self.freeze_level)[0] for t in passed]
        return once_an_epoch(n, self.epochs, depths)


@dataclass(kw_only=True)
class Geometric(Strategy):
    """Every epoch freezes the same share of the stages that still train: fast at first, then slower.

    Attributes:
        epochs: Length of the run.
        start: Fraction of training from which on stages freeze, in [0, 1).
        share: Of the stages that still train, in (0, 1); the number frozen is rounded down.
        bn: See Strategy.
    """

    swept: ClassVar[tuple[str, ...]] = ("start",)
    epochs: int
    start: float = 0.5
    share: float = 0.1
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_share("strategy.start", self.start, zero=True, one=False)
        check_share("strategy.share", self.share, one=False)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        past = [sum(e / self.epochs >= self.start for e in range(last + 1)) for last in range(self.epochs)]
        # The margin keeps a whole number whole: (1 - 0.9) * 10 is 0.9999999999999998 in floats.
        frozen = [math.floor((n - 1) * (1 - (1 - self.share) ** k) + 1e-9) for k in past]
        return once_an_epoch(n, self.epochs, frozen)


STRATEGIES: dict[str, type[Strategy]] = {
    "baseline": Baseline,
    "freezeout": FreezeOut,
    "shortened": Shortened,
    "layer_freezing": LayerFreezing,
    "geometric": Geometric,
    "lr_only": LrOnly,
    "freeze_only": FreezeOnly,
}

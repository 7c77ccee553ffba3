"""One dataclass a strategy: its fields are its configuration, `schedule(n)` what it does to n stages.

Each class is its own Hydra schema, so fields carry the names that people know from the original code.
A new strategy is a class here, a line in STRATEGIES and a yaml file in conf/strategy/.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from freezeout.checks import check_choice, check_share
from freezeout.schedule import POWERS, Schedule, freeze_times


class Strategy(Protocol):
    """What FreezeOut needs of a strategy; `bn` says how a frozen stage normalises."""

    @property
    def bn(self) -> str: ...

    def schedule(self, n: int) -> Schedule: ...


@dataclass(kw_only=True)
class Baseline:
    """Everything trains to the end under one cosine."""

    bn: ClassVar[str] = "eval"

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=(1.0,) * n, anneal=(1.0,) * n)


@dataclass(kw_only=True)
class FreezeOut:
    """Brock et al. 2017: stage i anneals to zero at t_i and freezes there."""

    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True
    bn: str = "eval"
    const_time: bool = False

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_choice("strategy.bn", self.bn, ("eval", "train"))

    def schedule(self, n: int) -> Schedule:
        times = freeze_times(n, self.t_0, POWERS[self.how_scale])
        return Schedule(freeze=times, anneal=times, scaled=self.scale_lr)


@dataclass(kw_only=True)
class LrOnly:
    """Control: FreezeOut's learning rates, but nothing is frozen and no time is saved."""

    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True
    bn: ClassVar[str] = "eval"

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))

    def schedule(self, n: int) -> Schedule:
        times = freeze_times(n, self.t_0, POWERS[self.how_scale])
        return Schedule(freeze=(1.0,) * n, anneal=times, scaled=self.scale_lr)


@dataclass(kw_only=True)
class FreezeOnly:
    """Control: FreezeOut's freeze times under the baseline's learning rate."""

    t_0: float
    how_scale: str = "cubic"
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_choice("strategy.bn", self.bn, ("eval", "train"))

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=freeze_times(n, self.t_0, POWERS[self.how_scale]), anneal=(1.0,) * n)


@dataclass(kw_only=True)
class Shortened:
    """The rival to beat: the plain recipe, its whole schedule included, in a fraction of the steps."""

    budget: float = 0.8
    bn: ClassVar[str] = "eval"

    def __post_init__(self) -> None:
        check_share("strategy.budget", self.budget)

    def schedule(self, n: int) -> Schedule:
        return Baseline().schedule(n)


def once_an_epoch(n: int, epochs: int, frozen: list[int]) -> Schedule:
    """A schedule that freezes frozen[e] leading stages at the start of epoch e, under the baseline's rate."""
    times = [next((e / epochs for e in range(epochs) if frozen[e] > i), 1.0) for i in range(n - 1)]
    return Schedule(freeze=(*times, 1.0), anneal=(1.0,) * n)


@dataclass(kw_only=True)
class LayerFreezing:
    """MosaicML Composer's layer freezing: from freeze_start on, linearly up to freeze_level of the stages."""

    epochs: int
    freeze_start: float = 0.5
    freeze_level: float = 1.0
    bn: str = "train"

    def __post_init__(self) -> None:
        check_share("strategy.freeze_start", self.freeze_start, zero=True, one=False)
        check_share("strategy.freeze_level", self.freeze_level, zero=True)
        check_choice("strategy.bn", self.bn, ("eval", "train"))

    def schedule(self, n: int) -> Schedule:
        start, level, epochs = self.freeze_start, self.freeze_level, self.epochs
        # In Composer's order of operations: its floor then rounds as ours does.
        share = [max(0.0, level * ((e / epochs - start) / (1 - start))) for e in range(epochs)]
        return once_an_epoch(n, epochs, [math.floor(s * (n - 1)) for s in share])


@dataclass(kw_only=True)
class Geometric:
    """From `start` on, every epoch freezes the same share of the stages that still train (rounded down)."""

    epochs: int
    start: float = 0.5
    share: float = 0.1
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_share("strategy.start", self.start, zero=True, one=False)
        check_share("strategy.share", self.share, one=False)
        check_choice("strategy.bn", self.bn, ("eval", "train"))

    def schedule(self, n: int) -> Schedule:
        past = [sum(e / self.epochs >= self.start for e in range(last + 1)) for last in range(self.epochs)]
        # The margin keeps a whole number whole: (1 - 0.9) * 10 is 0.9999999999999998 in floats.
        frozen = [math.floor((n - 1) * (1 - (1 - self.share) ** k) + 1e-9) for k in past]
        return once_an_epoch(n, self.epochs, frozen)


STRATEGIES = {
    "baseline": Baseline,
    "freezeout": FreezeOut,
    "shortened": Shortened,
    "layer_freezing": LayerFreezing,
    "geometric": Geometric,
    "lr_only": LrOnly,
    "freeze_only": FreezeOnly,
}

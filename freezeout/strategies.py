"""One dataclass per strategy: its fields are its configuration, `schedule(n)` gives the times for n stages.

Each class is its own Hydra schema. Field names follow the original code where it has the option. A new strategy needs a
class here, a line in STRATEGIES and a yaml file in conf/strategy/.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from freezeout.adaptive import ADAPTIVE
from freezeout.adaptive import AutoFreeze as AutoFreeze
from freezeout.adaptive import WeightDelta as WeightDelta
from freezeout.checks import check_choice, check_flag, check_share, check_whole
from freezeout.schedule import POWERS, Schedule, cost_depths, freeze_times, linear_depth
from freezeout.strategy import COST, INDEX, MOST_EPOCHS, NORMS
from freezeout.strategy import Strategy as Strategy

LONGEST = 2  # times the plain recipe's steps: the largest budget


@dataclass(kw_only=True)
class Baseline(Strategy):
    """All stages train to the end, with one cosine learning rate."""

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=(1.0,) * n, anneal=(1.0,) * n)


def check_depth(depth: Any) -> None:
    """Refuse an invalid `depth`.

    Raises:
        ValueError: It is neither "index", "cost" nor a list of finite, non-negative numbers.
    """
    if isinstance(depth, str):
        check_choice("strategy.depth", depth, (INDEX, COST))
    elif not isinstance(depth, list) or not all(type(c) in (int, float) and 0 <= c < math.inf for c in depth):
        raise ValueError(f"strategy.depth={depth}: must be {INDEX}, {COST} or a list of numbers >= 0, one per stage")


def paper_times(n: int, t_0: float, how_scale: str, depth: Any) -> tuple[float, ...]:
    """The paper's freeze times (see `freezeout.schedule.freeze_times`).

    Args:
        n: Number of stages.
        t_0: When stage 0 freezes, as a fraction of training in (0, 1], before the power is applied.
        how_scale: "linear", "squared" or "cubic".
        depth: "index", or one cost per stage.

    Raises:
        ValueError: The depth is "cost" (the costs are unknown here), or the number of costs is not n.
    """
    if depth == INDEX:
        return freeze_times(n, t_0, POWERS[how_scale])
    if depth == COST:
        raise ValueError(f"strategy.depth={COST}: the stage costs are not known here; give a list of numbers")
    if len(depth) != n:
        raise ValueError(f"strategy.depth={depth}: {len(depth)} costs for {n} stages; give one each")
    return freeze_times(n, t_0, POWERS[how_scale], cost_depths(depth))


@dataclass(kw_only=True)
class FreezeOut(Strategy):
    """The paper's strategy: stage i anneals to a learning rate of 0 at t_i and freezes (Brock et al. 2017, section 2).

    Attributes:
        t_0: When stage 0 freezes, as a fraction of training in (0, 1], before the power is applied.
        how_scale: "linear", "squared" or "cubic": the power applied to a straight line from t_0 to 1.
        scale_lr: Whether stage i's rate starts at base / t_i, so that it has the same integral over training for all
            stages.
        bn, depth: See Strategy.
        const_time: Train for more steps, so that the run is expected to take as long as the baseline (the original
            code's option of that name).

    Raises:
        ValueError: A field is outside its range.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True
    bn: str = "eval"
    const_time: bool = False
    depth: Any = INDEX

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_flag("strategy.scale_lr", self.scale_lr)
        check_flag("strategy.const_time", self.const_time)
        check_depth(self.depth)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        times = paper_times(n, self.t_0, self.how_scale, self.depth)
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
        return None if self.const_time or self.depth != INDEX else (self.t_0, self.how_scale)


@dataclass(kw_only=True)
class LrOnly(Strategy):
    """Control: FreezeOut's learning rates, but nothing is frozen and no time is saved.

    Attributes:
        t_0, how_scale, scale_lr, depth: See FreezeOut.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    scale_lr: bool = True
    depth: Any = INDEX

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_flag("strategy.scale_lr", self.scale_lr)
        check_depth(self.depth)

    def schedule(self, n: int) -> Schedule:
        times = paper_times(n, self.t_0, self.how_scale, self.depth)
        return Schedule(freeze=(1.0,) * n, anneal=times, scaled=self.scale_lr)


@dataclass(kw_only=True)
class FreezeOnly(Strategy):
    """Freezing alone: FreezeOut's freeze times with the plain learning rate. A control, and a method in its own right.

    In your own training loop, the plain rate is whatever the optimizer has: a constant, or a scheduler's. With
    rates="scale" it stays exactly that for every active stage, and frozen stages are not updated:

    >>> model = find_stages(network, images)
    >>> freezer = FreezeOut(model, optimizer(model), FreezeOnly(t_0=0.8), total_steps=100, rates="scale")
    >>> freezer.step()  # before each training step

    With rates="set", and in runs of `python -m freezeout`, all stages share one cosine from the optimizer's rate to 0.

    Attributes:
        t_0, how_scale, bn, depth: See FreezeOut.
    """

    swept: ClassVar[tuple[str, ...]] = ("t_0",)
    t_0: float
    how_scale: str = "cubic"
    bn: str = "eval"
    depth: Any = INDEX

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_choice("strategy.how_scale", self.how_scale, tuple(POWERS))
        check_depth(self.depth)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        times = paper_times(n, self.t_0, self.how_scale, self.depth)
        return Schedule(freeze=times, anneal=(1.0,) * n)

    def power_law(self) -> tuple[float, str] | None:
        return (self.t_0, self.how_scale) if self.depth == INDEX else None


@dataclass(kw_only=True)
class Shortened(Strategy):
    """The rival to beat: the plain recipe, with its whole schedule compressed into a fraction of the steps.

    Attributes:
        budget: The fraction of the steps, in (0, 2]. Values above 1 extend the curve, to compare with runs that save no
            time.

    Raises:
        ValueError: The budget is outside this range.
    """

    swept: ClassVar[tuple[str, ...]] = ("budget",)
    budget: float = 0.8

    def __post_init__(self) -> None:
        check_share("strategy.budget", self.budget, most=LONGEST)

    def schedule(self, n: int) -> Schedule:
        return self.followed().schedule(n)

    def steps(self, full: int, saving: float | None) -> int:
        return max(1, round(self.budget * full))

    def followed(self) -> Baseline:
        return Baseline()


def once_an_epoch(n: int, epochs: int, frozen: list[int]) -> Schedule:
    """A schedule of n stages, of which the first frozen[e] are frozen in epoch e, with the baseline's rate."""
    times = [next((e / epochs for e in range(epochs) if frozen[e] > i), 1.0) for i in range(n - 1)]
    return Schedule(freeze=(*times, 1.0), anneal=(1.0,) * n)


@dataclass(kw_only=True)
class LayerFreezing(Strategy):
    """MosaicML Composer's layer freezing, once per epoch, with the baseline's learning rate.

    Attributes:
        epochs: Length of the run.
        freeze_start: Fraction of training at which freezing begins, in [0, 1).
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
        check_whole("epochs", self.epochs, 1, MOST_EPOCHS)
        check_share("strategy.freeze_start", self.freeze_start, zero=True, one=False)
        check_share("strategy.freeze_level", self.freeze_level, zero=True)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        passed = [e / self.epochs for e in range(self.epochs)]
        depths = [linear_depth(n, t, self.freeze_start, self.freeze_level)[0] for t in passed]
        return once_an_epoch(n, self.epochs, depths)


@dataclass(kw_only=True)
class Geometric(Strategy):
    """Each epoch freezes the same share of the stages that are still active: many at first, then fewer.

    Attributes:
        epochs: Length of the run.
        start: Fraction of training at which freezing begins, in [0, 1).
        share: Share of the active stages to freeze per epoch, in (0, 1); the number frozen is rounded down.
        bn: See Strategy.
    """

    swept: ClassVar[tuple[str, ...]] = ("start",)
    epochs: int
    start: float = 0.5
    share: float = 0.1
    bn: str = "eval"

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, 1, MOST_EPOCHS)
        check_share("strategy.start", self.start, zero=True, one=False)
        check_share("strategy.share", self.share, one=False)
        check_choice("strategy.bn", self.bn, NORMS)

    def schedule(self, n: int) -> Schedule:
        first = next((e for e in range(self.epochs) if e / self.epochs >= self.start), self.epochs)
        past = [max(0, e + 1 - first) for e in range(self.epochs)]
        # The margin protects integers from rounding down: (1 - 0.9) * 10 is 0.9999999999999998 in floats.
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
    **ADAPTIVE,
}

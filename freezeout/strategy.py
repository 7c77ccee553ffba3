"""The interface of strategies: when each stage freezes and what its learning rate is. Standard library only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from freezeout.schedule import Schedule

REESTIMATE = "reestimate"
NORMS = ("eval", "train", REESTIMATE)
# Of epochs or intervals. A larger number is a typing error, and laying out its schedule would take too long.
MOST_EPOCHS = 1_000_000
BATCHES = 100  # number of batches from which running statistics are recomputed
INDEX, COST = "index", "cost"
State = dict[str, Any]  # an adaptive strategy's state


def reestimation_batches(steps_per_epoch: int) -> int:
    """Number of batches from which running statistics are recomputed: BATCHES, but at most one epoch's."""
    return min(BATCHES, steps_per_epoch)


class Strategy(ABC):
    """When each stage freezes, what its learning rate is, and how many steps a run trains.

    Attributes:
        bn: How a frozen stage normalises. "eval": with its running statistics, which no longer change. "reestimate":
            likewise, after they have been recomputed from BATCHES batches. "train": with batch statistics, which
            continue to update its running statistics.
        depth: What determines a stage's depth d in [0, 1]. "index": its position. "cost": the share of the counted
            FLOPs that lie before it. A list of numbers, one per stage: the share of these that lies before it.
        swept: Names of the fields that vary along one curve of a plot. Configurations that differ in no other field
            belong to one series.
    """

    bn: str = "eval"
    depth: Any = INDEX
    swept: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def schedule(self, n: int) -> Schedule:
        """The freeze and annealing times for a network of n stages."""

    def steps(self, full: int, saving: float | None) -> int:
        """Number of training steps of a run.

        Args:
            full: Steps of the plain recipe: epochs times steps per epoch.
            saving: Expected saving of a run of `full` steps, as a fraction of the baseline's time; None if unknown.

        Raises:
            ValueError: The number of steps depends on the saving, and that is unknown.
        """
        return full

    def followed(self) -> Strategy:
        """The strategy that training follows once the number of steps is known.

        Strategies that differ only in the number of steps return the same one, so that identical runs are recognised as
        one: a shortened baseline is the baseline with fewer steps.
        """
        return self

    def placed(self, costs: Sequence[float] | None) -> Strategy:
        """The strategy for a network with known stage costs: depth "cost" is replaced by the list of costs.

        Args:
            costs: Cost of each stage, in any unit; None if they cannot be counted.

        Returns:
            A copy with the costs as its depth; the strategy itself if its depth is not "cost".

        Raises:
            ValueError: The depth is "cost", and the costs are unknown.
        """
        if self.depth != COST:
            return self
        if costs is None:
            raise ValueError(f"strategy.depth={COST}: this network's stages cannot be costed; give a list of numbers")
        return replace(self, depth=list(costs))  # type: ignore[type-var]

    def power_law(self) -> tuple[float, str] | None:
        """(t_0, how_scale) of a strategy with the paper's freeze times and the plain recipe's number of steps.

        None for all others: the paper's estimate of the saving does not apply to them.
        """
        return None


class Adaptive(Strategy):
    """Decides during training which stages to freeze, from measurements.

    A run is divided into equal intervals; a decision is made at the end of each one except the last. The object itself
    holds no progress. That is in a state of plain data (numbers, strings, None, and lists and dicts of these), which
    checkpoints hold, and which is replaced, never modified.

    Attributes:
        intervals: Number of intervals in a run.
        observes: What is measured in each interval, one number per stage: a key of `freezeout.observing.OBSERVERS`.
    """

    intervals: int
    observes: ClassVar[str]

    def schedule(self, n: int) -> Schedule:
        """The baseline's schedule: freeze times are not known in advance."""
        return Schedule(freeze=(1.0,) * n, anneal=(1.0,) * n)

    @abstractmethod
    def init(self, n: int) -> State:
        """The state before the first step, for n stages."""

    @abstractmethod
    def update(self, state: State, t: float, observation: Sequence[float]) -> State:
        """The state after an interval.

        Args:
            state: The state before the interval.
            t: Fraction of training completed at its end.
            observation: One number per stage, measured during the interval; 0 for a frozen stage.
        """

    def frozen_prefix(self, state: State, t: float) -> int:
        """Number of leading stages that are frozen from t on, where t is the end of an interval."""
        return int(state["prefix"])


def check_strategy(given: Any) -> None:
    """Refuse anything that is not a strategy, such as a strategy's name or class.

    Raises:
        ValueError: `given` is not a strategy.
    """
    if isinstance(given, type) or not hasattr(given, "schedule"):
        name = given.__name__ if isinstance(given, type) else repr(given)
        raise ValueError(f"strategy={name}: must be a strategy instance, such as FreezeOnly(t_0=0.8)")

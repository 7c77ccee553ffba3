"""What a strategy is: which stages freeze when, and what their learning rates are. Standard library only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from freezeout.schedule import Schedule

REESTIMATE = "reestimate"
NORMS = ("eval", "train", REESTIMATE)
# Epochs, or intervals: a slip of the finger above, as schedules are laid out one by one before anything is said.
MOST_EPOCHS = 1_000_000
BATCHES = 100  # from which running statistics are computed afresh
INDEX, COST = "index", "cost"
State = dict[str, Any]  # of an adaptive strategy


def reestimation_batches(steps_per_epoch: int) -> int:
    """From how many batches running statistics are computed afresh: at most those of one epoch."""
    return min(BATCHES, steps_per_epoch)


class Strategy(ABC):
    """Which stages freeze when, under which learning rates, and for how many steps a run of it trains.

    Attributes:
        bn: How a frozen stage normalises: "eval" with its running statistics, which stand still; "reestimate" likewise,
            once they have been computed afresh from BATCHES batches; or "train" with those of the batch, which keep
            moving its running statistics.
        depth: How deep a stage lies: "index" by its place, "cost" by the share of the counted FLOPs that lie before it,
            or a list of numbers, one a stage, by the share of these.
        swept: Names of the fields that are varied along a curve of a plot. Configurations that differ in nothing else
            belong to one series.
    """

    bn: str = "eval"
    depth: Any = INDEX
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

    def placed(self, costs: Sequence[float] | None) -> Strategy:
        """The strategy on a network whose stages cost so much, where their depth is to be that of their cost.

        Args:
            costs: Of each stage, in any unit; None where they cannot be counted.

        Raises:
            ValueError: They are needed and not known.
        """
        if self.depth != COST:
            return self
        if costs is None:
            raise ValueError(f"strategy.depth={COST}: this network's stages cannot be costed; give a list of numbers")
        return replace(self, depth=list(costs))  # type: ignore[type-var]

    def power_law(self) -> tuple[float, str] | None:
        """(t_0, how_scale) of a strategy whose freeze times are the paper's and whose steps are the plain recipe's.

        None for all others: the paper's estimate of the saving is not about them.
        """
        return None


class Adaptive(Strategy):
    """Decides what is frozen by what is seen of training, at the end of each of some equal intervals but the last.

    Its objects hold no progress: a state does, which is plain data (numbers, texts, None, and lists and dicts of them),
    lies in checkpoints, and is replaced, never changed.

    Attributes:
        intervals: How many a run is divided into.
        observes: What of an interval it is shown, one number a stage: a key of `freezeout.observing.OBSERVERS`.
    """

    intervals: int
    observes: ClassVar[str]

    def schedule(self, n: int) -> Schedule:
        """The learning rates, those of the baseline; what freezes is not known yet."""
        return Schedule(freeze=(1.0,) * n, anneal=(1.0,) * n)

    @abstractmethod
    def init(self, n: int) -> State:
        """The state before the first step, for n stages."""

    @abstractmethod
    def update(self, state: State, t: float, observation: Sequence[float]) -> State:
        """The state after an interval.

        Args:
            state: Before it.
            t: The fraction of training at its end.
            observation: One number a stage; 0 for a frozen one.
        """

    def frozen_prefix(self, state: State, t: float) -> int:
        """How many leading stages are frozen from t, the end of an interval, on."""
        return int(state["prefix"])


def check_strategy(given: Any) -> None:
    """Refuse what is no strategy, such as the name or the class of one.

    Raises:
        ValueError: It is not.
    """
    if isinstance(given, type) or not hasattr(given, "schedule"):
        name = given.__name__ if isinstance(given, type) else repr(given)
        raise ValueError(f"strategy={name}: must be a strategy with its values, such as FreezeOnly(t_0=0.8)")

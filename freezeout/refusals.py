"""Optimizers in which FreezeOut cannot set or scale the rates of stages."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from torch.optim import LBFGS, Optimizer

BESIDE = "FreezeOut(..., rates='scale') works with a scheduler"
SERVED: WeakSet[Optimizer] = WeakSet()


def refuse_kind(optimizer: Any) -> None:
    """Refuse anything but an optimizer that can be split by stage and performs its steps itself.

    Raises:
        ValueError: It is not a torch optimizer, it is LBFGS, or it delegates its steps to an inner optimizer, such as
            accelerate's AcceleratedOptimizer, ZeroRedundancyOptimizer or a SAM with its base.
    """
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer={kind}: must be a torch optimizer")
    if isinstance(optimizer, LBFGS):
        raise ValueError("LBFGS searches along one line for all parameters: it cannot train some stages and not others")
    for name, inner in vars(optimizer).items():
        if isinstance(inner, Optimizer):
            raise ValueError(f"optimizer={kind}: it delegates to its .{name}: give that one to FreezeOut")


def refuse_scheduler(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose rates are set by a torch scheduler.

    Raises:
        ValueError: A scheduler is attached to it.
    """
    if any("initial_lr" in group for group in optimizer.param_groups):
        raise ValueError(f"a learning-rate scheduler is attached to the optimizer, but FreezeOut sets rates: {BESIDE}")


def refuse_second(optimizer: Optimizer) -> None:
    """Refuse an optimizer that already has a FreezeOut: two would split the same groups, and neither would undo it.

    Raises:
        ValueError: It has one already.
    """
    if optimizer in SERVED:
        raise ValueError("the optimizer has a FreezeOut: create a new network, optimizer and FreezeOut")
    SERVED.add(optimizer)

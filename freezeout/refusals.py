"""Optimizers in which FreezeOut cannot set or scale the rates of stages."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from torch.optim import LBFGS, Optimizer

BESIDE = "FreezeOut(..., rates='scale') freezes beside a scheduler"
SERVED: WeakSet[Optimizer] = WeakSet()


def refuse_kind(optimizer: Any) -> None:
    """Refuse what is no optimizer, cannot be split by stage, or hands its steps to another, which ours do not reach.

    Raises:
        ValueError: It is such a thing: accelerate's AcceleratedOptimizer, ZeroRedundancyOptimizer, a SAM with its base,
            LBFGS.
    """
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer={kind}: must be an optimizer of torch")
    if isinstance(optimizer, LBFGS):
        raise ValueError("LBFGS searches along one line for all parameters: it cannot train some stages and not others")
    for name, inner in vars(optimizer).items():
        if isinstance(inner, Optimizer):
            raise ValueError(f"optimizer={kind}: it steps by its .{name}: FreezeOut needs the one that steps")


def refuse_scheduler(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose rates a scheduler of torch sets.

    Raises:
        ValueError: There is one.
    """
    if any("initial_lr" in group for group in optimizer.param_groups):
        raise ValueError(f"a learning-rate scheduler is attached to the optimizer, and FreezeOut sets rates: {BESIDE}")


def refuse_second(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose groups another FreezeOut has split, or splits at each step: neither would undo it.

    Raises:
        ValueError: It has one already.
    """
    if optimizer in SERVED:
        raise ValueError("the optimizer has a FreezeOut already: make network, optimizer and FreezeOut anew")
    SERVED.add(optimizer)

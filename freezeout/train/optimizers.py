"""The optimizers, from their fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, optim

from freezeout.stages.chain import Chain
from freezeout.train.schema import AdamW, Sgd


def make_optimizer(fields: Any, chain: Chain, *, capture: bool = False) -> optim.Optimizer:
    """The optimizer of a network: one fused kernel per group instead of several per parameter.

    Args:
        fields: An instance of one of `freezeout.train.schema.OPTIMIZERS`.
        chain: The network, on its device.
        capture: Whether steps are captured in CUDA graphs, which requires all optimizer state on the device.

    Raises:
        ValueError: The optimizer is unknown.
    """
    parameters = chain.parameters()
    if isinstance(fields, Sgd):
        return optim.SGD(
            parameters,
            lr=fields.lr,
            momentum=fields.momentum,
            nesterov=fields.nesterov,
            weight_decay=fields.weight_decay,
            fused=True,
        )
    if isinstance(fields, AdamW):
        return optim.AdamW(
            parameters,
            lr=fields.lr,
            betas=(fields.beta1, fields.beta2),
            weight_decay=fields.weight_decay,
            fused=True,
            capturable=capture,
        )
    raise ValueError(f"optimizer={type(fields).__name__}: unknown; choose sgd or adamw")


class FewestCalls:
    """An optimizer's step in which groups with equal rates and hyperparameters are merged.

    FreezeOut gives every stage a group of its own, and a fused optimizer makes one call per group, although in a step
    of the baseline one call would be enough. Each parameter is updated by the same arithmetic either way.

    Args:
        optimizer: Its `param_groups` are read again in each step and restored after it.

    Attributes:
        side_by_side: Runs calls that do not depend on each other; None passes all groups to one call of the optimizer.
    """

    def __init__(self, optimizer: optim.Optimizer) -> None:
        self.side_by_side: Callable[[Sequence[Callable[[], None]]], None] | None = None
        self._optimizer = optimizer
        self._pattern: list[tuple[int, int]] = []
        self._calls: list[tuple[int, dict[str, Any]]] = []

    def step(self) -> None:
        """One step of the optimizer."""
        groups = self._optimizer.param_groups
        first: dict[Any, int] = {}
        # A rate on the device is not read: groups that share its tensor have equal rates.
        rates = (id(group["lr"]) if isinstance(group["lr"], Tensor) else group["lr"] for group in groups)
        pattern = [(first.setdefault(rate, i), len(groups[i]["params"])) for i, rate in enumerate(rates)]
        if pattern != self._pattern:
            self._pattern, self._calls = pattern, merged(groups, [place for place, _ in pattern])
        for i, call in self._calls:
            call["lr"] = groups[i]["lr"]
        calls = [call for _, call in self._calls]
        try:
            if self.side_by_side is None or len(calls) < 2:
                self._step(calls)
            else:
                self.side_by_side([partial(self._step, [call]) for call in calls])
        finally:
            self._optimizer.param_groups = groups

    def _step(self, groups: list[dict[str, Any]]) -> None:
        self._optimizer.param_groups = groups
        self._optimizer.step()


def merged(groups: list[dict[str, Any]], places: list[int]) -> list[tuple[int, dict[str, Any]]]:
    """Merges groups with equal rates and hyperparameters, so that each merged group needs one call.

    Empty groups, those of frozen stages, are left out.

    Args:
        groups: The optimizer's parameter groups.
        places: For each group, the index of the first one with the same rate.

    Returns:
        For each merged group, the index of the first group in it, and a group with the parameters of all.
    """
    calls: list[tuple[int, dict[str, Any]]] = []
    for number, group in enumerate(groups):
        if not group["params"]:
            continue
        for i, call in calls:
            if places[i] == places[number] and same_hyperparameters(call, group):
                call["params"] = [*call["params"], *group["params"]]
                break
        else:
            calls.append((number, {**group}))
    return calls


def same_hyperparameters(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two parameter groups are equal except in their parameters and rates."""
    return all(a[key] == b[key] for key in a if key not in ("params", "lr"))

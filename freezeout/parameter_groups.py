"""The optimizer's groups, and the learning rate of each stage in them: set by FreezeOut, or a scheduler's, scaled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from freezeout.refusals import BESIDE, refuse_kind, refuse_scheduler, refuse_second

OF_PARAMETERS = ("params", "param_names")


class SetRates:
    """FreezeOut is the one writer of rates: there is a group for each pair of a stage and a group of the user's.

    Args:
        optimizer: Its groups are split, in place; the rate that each has now is the base rate.
        stages: In running order.

    Raises:
        ValueError: The optimizer has a scheduler or another FreezeOut, holds a parameter of no stage, or is LBFGS.
    """

    relative = False  # factors are in units of the base rate

    def __init__(self, optimizer: Optimizer, stages: Sequence[nn.Module]) -> None:
        owner = owners(optimizer, stages)
        refuse_scheduler(optimizer)
        refuse_second(optimizer)
        self._stage: list[int] = []
        self._base: list[float] = []
        self._optimizer = optimizer
        self._written: list[object] | None = None
        self._emptied = 0  # how many leading stages have no parameters in the optimizer any more
        groups: list[dict[str, Any]] = []
        for group in optimizer.param_groups:
            home = homes(group, owner)
            for i in sorted(set(home)):
                rate = group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"]  # a tensor: one each
                groups.append({**taken(group, [at == i for at in home]), "lr": rate})
                self._stage.append(i)
                self._base.append(float(group["lr"]))
        # In place: optimizer wrappers and captured steps keep a reference to this list.
        optimizer.param_groups[:] = groups
        optimizer.register_load_state_dict_pre_hook(self._before_loading)

    def columns(self) -> list[tuple[int, float]]:
        """Stage and base rate of each group of the optimizer."""
        return list(zip(self._stage, self._base, strict=True))

    def write(self, rates: Sequence[float]) -> None:
        """Set the rate of each group.

        Raises:
            RuntimeError: Someone else has changed the rates, or the groups, since the last time.
        """
        groups = self._optimizer.param_groups
        if len(groups) != len(self._stage):
            raise RuntimeError("the optimizer has another number of groups now: add them before FreezeOut is made")
        if self._written is None:
            refuse_scheduler(self._optimizer)
        elif any(g["params"] and stamp(g) != was for g, was in zip(groups, self._written, strict=True)):
            raise RuntimeError(f"somebody else has changed a learning rate, and FreezeOut sets them: {BESIDE}")
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):  # as capturable optimizers use: keep its address
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._written = [stamp(group) for group in groups]

    def leave(self) -> None:
        """The caller sets the rates of this step."""
        self._written = None

    def drop(self, i: int) -> None:
        """Stage `i` leaves the optimizer."""
        # Emptied rather than removed: the optimizer's state_dict keeps its shape whatever the prefix.
        for group, stage in zip(self._optimizer.param_groups, self._stage, strict=True):
            if stage == i:
                group.update({key: [] for key in OF_PARAMETERS if key in group})
        self._emptied = max(self._emptied, i + 1)

    def check(self, prefix: int) -> None:
        """Refuse to train on when the optimizer's state was loaded and FreezeOut's was not.

        Raises:
            RuntimeError: More stages have left the optimizer than are frozen.
        """
        if self._emptied > prefix:
            raise RuntimeError(
                f"the optimizer's state is that of {self._emptied} frozen stages, and {prefix} are: "
                "load FreezeOut's state, too"
            )

    def _before_loading(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Let the optimizer load before FreezeOut does: what had left it when it was saved leaves it now."""
        self._written = None
        saved = state["param_groups"]
        if len(saved) != len(self._stage):
            return  # torch says so itself
        for i in sorted({i for i, group in zip(self._stage, saved, strict=True) if not group["params"]}):
            self.drop(i)
        if any(group["params"] and i < self._emptied for i, group in zip(self._stage, saved, strict=True)):
            raise ValueError("the optimizer's state is that of an earlier step: a frozen stage never thaws")


class ScaledRates:
    """The rates are a scheduler's or the user's: a factor per stage holds while the optimizer steps, and only then.

    The optimizer's groups stay as the user made them, but for the moment of a step, in which each is split by factor
    and loses its frozen parameters. So a scheduler may be made before or after, may go from the value that it finds,
    and may change momentum, too; and the optimizer's state loads at any time, from a run without freezing as well.

    Args:
        optimizer: Given two hooks, one before and one after its step.
        stages: In running order.

    Raises:
        ValueError: The optimizer holds a parameter of no stage, has another FreezeOut, or it is LBFGS.
    """

    relative = True  # factors are in units of the rate that a plain run would have

    def __init__(self, optimizer: Optimizer, stages: Sequence[nn.Module]) -> None:
        self._optimizer = optimizer
        self._owner = owners(optimizer, stages)
        for group in optimizer.param_groups:
            homes(group, self._owner)
        refuse_second(optimizer)
        self._factors: Sequence[float] | None = None
        self._prefix = 0
        self._users: list[dict[str, Any]] | None = None
        self._parts: list[tuple[dict[str, Any], dict[str, Any]]] = []
        optimizer.register_step_pre_hook(self._split)
        optimizer.register_step_post_hook(lambda *_: self._join())
        optimizer.register_state_dict_pre_hook(lambda *_: self._join())
        optimizer.register_load_state_dict_pre_hook(lambda *_: self._join())
        optimizer.register_load_state_dict_post_hook(lambda *_: self._forget())

    def columns(self) -> list[tuple[int, float]]:
        raise RuntimeError("with rates='scale' FreezeOut has no rates of its own: see `factors`")

    def write(self, factors: Sequence[float]) -> None:
        """The factor of each stage, in the steps to come."""
        self._join()
        self._factors = factors

    def leave(self) -> None:
        raise ValueError("set_rates=False needs rates='set'")

    def drop(self, i: int) -> None:
        """Stage `i` takes no part in steps any more."""
        self._prefix = max(self._prefix, i + 1)

    def check(self, prefix: int) -> None:
        """Nothing is left out of the optimizer that could be loaded too early."""

    def _split(self, optimizer: Optimizer, *_: object) -> None:
        self._join()
        if self._factors is None:
            raise RuntimeError("call FreezeOut's step() before each training step")
        self._parts = []
        for group in optimizer.param_groups:
            home = homes(group, self._owner)
            for factor in dict.fromkeys(self._factors[i] for i in home if i >= self._prefix):
                part = taken(group, [i >= self._prefix and self._factors[i] == factor for i in home])
                if factor != 1.0:
                    part["lr"] = group["lr"] * factor
                self._parts.append((group, part))
        self._users = optimizer.param_groups
        optimizer.param_groups = [part for _, part in self._parts]

    def _join(self) -> None:
        """Back to the user's groups, after a step; or later, where the step raised an error."""
        if self._users is None:
            return
        for group, part in self._parts:  # what the optimizer wrote there, as some outside of torch do
            group.update({key: part[key] for key in part if key not in (*OF_PARAMETERS, "lr")})
        self._optimizer.param_groups, self._users, self._parts = self._users, None, []

    def _forget(self) -> None:
        """The state that was loaded may be one of a time before stages froze."""
        for p in list(self._optimizer.state):
            if self._owner.get(id(p), self._prefix) < self._prefix:
                del self._optimizer.state[p]


RATES: dict[str, type[SetRates] | type[ScaledRates]] = {"set": SetRates, "scale": ScaledRates}


def owners(optimizer: Optimizer, stages: Sequence[nn.Module]) -> dict[int, int]:
    """The stage of each parameter, by its id.

    Raises:
        ValueError: As `refuse_kind`.
    """
    refuse_kind(optimizer)
    return {id(p): i for i, stage in enumerate(stages) for p in stage.parameters()}


def homes(group: dict[str, Any], owner: dict[int, int]) -> list[int]:
    """The stage of each parameter of a group.

    Raises:
        ValueError: A parameter belongs to no stage.
    """
    try:
        return [owner[id(p)] for p in group["params"]]
    except KeyError:
        n, p = next((n, p) for n, p in enumerate(group["params"]) if id(p) not in owner)
        called = f"parameter {group['param_names'][n]}" if "param_names" in group else "a parameter"
        raise ValueError(f"the optimizer holds {called} of shape {tuple(p.shape)} that no stage owns") from None


def taken(group: dict[str, Any], which: Sequence[bool]) -> dict[str, Any]:
    """A group with some of its parameters, and all else that is in it."""
    lists = {
        key: [p for p, take in zip(group[key], which, strict=True) if take] for key in OF_PARAMETERS if key in group
    }
    return {**group, **lists}


def stamp(group: dict[str, Any]) -> object:
    """What is different once somebody has written a group's rate, read without waiting for a device."""
    rate = group["lr"]
    return (id(rate), rate._version) if isinstance(rate, Tensor) else rate

"""The optimizer's parameter groups and each stage's learning rate in them, either set by FreezeOut or scaled by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from freezeout.refusals import BESIDE, refuse_kind, refuse_scheduler, refuse_second

OF_PARAMETERS = ("params", "param_names")


class SetRates:
    """rates="set": only FreezeOut sets the rates; each group of the user's is split into one group per stage.

    Args:
        optimizer: Its groups are split in place; each group's current rate is its base rate.
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
        self._emptied = 0  # number of leading stages that no longer have parameters in the optimizer
        groups: list[dict[str, Any]] = []
        for group in optimizer.param_groups:
            home = homes(group, owner)
            for i in sorted(set(home)):
                rate = group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"]  # not a shared tensor
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
            RuntimeError: Other code has changed the rates or the groups since the last call.
        """
        groups = self._optimizer.param_groups
        if len(groups) != len(self._stage):
            raise RuntimeError("parameter groups were added or removed: do so before creating FreezeOut")
        if self._written is None:
            refuse_scheduler(self._optimizer)
        elif any(g["params"] and stamp(g) != was for g, was in zip(groups, self._written, strict=True)):
            raise RuntimeError(f"other code changed a learning rate that FreezeOut sets: {BESIDE}")
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):  # used by capturable optimizers: keep its address
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._written = [stamp(group) for group in groups]

    def leave(self) -> None:
        """Leave the rates of this step to the caller."""
        self._written = None

    def drop(self, i: int) -> None:
        """Remove the parameters of stage `i` from the optimizer."""
        # Groups are emptied, not removed, so that the optimizer's state_dict has the same shape for every prefix.
        for group, stage in zip(self._optimizer.param_groups, self._stage, strict=True):
            if stage == i:
                group.update({key: [] for key in OF_PARAMETERS if key in group})
        self._emptied = max(self._emptied, i + 1)

    def check(self, prefix: int) -> None:
        """Refuse to continue if the optimizer's state was loaded but FreezeOut's was not.

        Raises:
            RuntimeError: More stages are removed from the optimizer than are frozen.
        """
        if self._emptied > prefix:
            raise RuntimeError(
                f"the optimizer's state has {self._emptied} frozen stages, but FreezeOut {prefix}: "
                "load FreezeOut's state, too"
            )

    def _before_loading(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Allow the optimizer to load before FreezeOut: remove the stages that were removed when it was saved."""
        self._written = None
        saved = state["param_groups"]
        if len(saved) != len(self._stage):
            return  # torch raises the error
        for i in sorted({i for i, group in zip(self._stage, saved, strict=True) if not group["params"]}):
            self.drop(i)
        if any(group["params"] and i < self._emptied for i, group in zip(self._stage, saved, strict=True)):
            raise ValueError("the optimizer's state is from an earlier step: a frozen stage never thaws")


class ScaledRates:
    """rates="scale": a scheduler or the user sets the rates, which are multiplied by a factor per stage in each step.

    The optimizer's groups stay as the user made them, except during a step, when each is split by factor and loses its
    frozen parameters. So a scheduler may be created before or after FreezeOut, may compute the next rate from the
    current one, and may also change momentum. The optimizer's state can be loaded at any time, also from a run without
    freezing.

    Args:
        optimizer: Its groups are split in a hook before each step and restored in one after it.
        stages: In running order.

    Raises:
        ValueError: The optimizer holds a parameter of no stage, has another FreezeOut, or is LBFGS.
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
        """Set the factor of each stage for the following steps."""
        self._join()
        self._factors = factors

    def leave(self) -> None:
        raise ValueError("set_rates=False needs rates='set'")

    def drop(self, i: int) -> None:
        """Exclude stage `i` from all following steps."""
        self._prefix = max(self._prefix, i + 1)

    def check(self, prefix: int) -> None:
        """Does nothing: here the optimizer keeps the parameters of all stages, so it may load in any order."""

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
        """Restore the user's groups after a step, or later if the step raised an error."""
        if self._users is None:
            return
        for group, part in self._parts:  # keep values that the optimizer stored there, as some outside torch do
            group.update({key: part[key] for key in part if key not in (*OF_PARAMETERS, "lr")})
        self._optimizer.param_groups, self._users, self._parts = self._users, None, []

    def _forget(self) -> None:
        """Drop the loaded state of frozen stages: it may have been saved before they froze."""
        for p in list(self._optimizer.state):
            if self._owner.get(id(p), self._prefix) < self._prefix:
                del self._optimizer.state[p]


RATES: dict[str, type[SetRates] | type[ScaledRates]] = {"set": SetRates, "scale": ScaledRates}


def owners(optimizer: Optimizer, stages: Sequence[nn.Module]) -> dict[int, int]:
    """The stage of each parameter, by the parameter's id.

    Raises:
        ValueError: See `refuse_kind`.
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
    """A copy of a group with only the selected parameters and all its other entries."""
    lists = {
        key: [p for p, take in zip(group[key], which, strict=True) if take] for key in OF_PARAMETERS if key in group
    }
    return {**group, **lists}


def stamp(group: dict[str, Any]) -> object:
    """A value that changes whenever a group's rate is written, read without synchronising the device."""
    rate = group["lr"]
    return (id(rate), rate._version) if isinstance(rate, Tensor) else rate

"""Measurements for adaptive strategies: one number per stage and interval, gathered on the device and read once.

An observer adds at most one operation to a step, never synchronises the device during one, and keeps its tensors at the
same addresses, so that a step captured in a CUDA graph continues to write to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Observer(Protocol):
    """Measures one interval of training steps after another."""

    def begin(self, first: int) -> None:
        """Begin an interval in which the stages from `first` on are active."""

    def read(self) -> list[float]:
        """One number per stage for the interval that ends now; 0 for a frozen stage. Synchronises the device."""

    def state_dict(self) -> list[list[Tensor]]:
        """The measurements of the current interval so far."""

    def load_state_dict(self, state: list[list[Tensor]]) -> None:
        """Continue in the middle of an interval."""


class Gradients:
    """For each stage, the L1 norm of the gradients summed over the steps of an interval.

    The gradients are those that the optimizer uses (averaged, accumulated, clipped). They are read when its step
    begins, or, if the step is given a closure, as by Lightning and Composer, after the closure has computed them.

    Args:
        stages: In running order.
        optimizer: Over their parameters.
    """

    def __init__(self, stages: Sequence[nn.Module], optimizer: Optimizer) -> None:
        self._parameters = trainable(stages)
        self._sums = [[torch.zeros_like(p) for p in own] for own in self._parameters]
        self._index()
        optimizer.register_step_pre_hook(self._before_step)

    def begin(self, first: int) -> None:
        self._sums[:first] = [[] for _ in range(first)]
        self._index()
        if active := [s for own in self._sums for s in own]:
            torch._foreach_zero_(active)

    def read(self) -> list[float]:
        return together([total(torch._foreach_norm(own, 1)) if own else None for own in self._sums], self._parameters)

    def state_dict(self) -> list[list[Tensor]]:
        return [list(own) for own in self._sums]

    def load_state_dict(self, state: list[list[Tensor]]) -> None:
        for i, (own, saved) in enumerate(zip(self._sums, state, strict=True)):
            if saved:
                torch._foreach_copy_(own, saved)
            else:
                self._sums[i] = []
        self._index()

    def _index(self) -> None:
        pairs = zip(self._parameters, self._sums, strict=True)
        self._sum_of = {id(p): s for own, sums in pairs for p, s in zip(own, sums, strict=False)}

    def _before_step(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
        if closure is None:
            self._add(optimizer)
            return None

        def computed(*given: Any, **options: Any) -> Any:
            loss = closure(*given, **options)
            self._add(optimizer)
            return loss

        return args[:1], {**kwargs, "closure": computed}

    @torch.no_grad()
    def _add(self, optimizer: Any) -> None:
        if getattr(optimizer, "grad_scale", None) is not None:
            raise RuntimeError(
                "a fused optimizer under GradScaler steps with gradients that are still scaled: an adaptive strategy "
                "needs fused=False"
            )
        seen = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if pairs := [(s, p.grad) for p in seen if (s := self._sum_of.get(id(p))) is not None]:
            torch._foreach_add_([s for s, _ in pairs], [gradient for _, gradient in pairs])


class Movement:
    """The relative change of each stage's weights since the interval began, in L2 norms.

    Steps cost nothing extra: the weights are copied at the beginning of an interval.

    Args:
        stages: In running order.
        optimizer: Not used.
    """

    def __init__(self, stages: Sequence[nn.Module], optimizer: Optimizer) -> None:
        self._parameters = trainable(stages)
        self._start: list[list[Tensor]] = [[] for _ in stages]

    @torch.no_grad()
    def begin(self, first: int) -> None:
        self._start = [[p.clone() for p in own] if i >= first else [] for i, own in enumerate(self._parameters)]

    @torch.no_grad()
    def read(self) -> list[float]:
        pairs = zip(self._parameters, self._start, strict=True)
        return together([moved(own, start) if start else None for own, start in pairs], self._parameters)

    def state_dict(self) -> list[list[Tensor]]:
        return [list(own) for own in self._start]

    def load_state_dict(self, state: list[list[Tensor]]) -> None:
        self._start = [
            [torch.empty_like(p, requires_grad=False).copy_(s) for p, s in zip(own, saved, strict=True)]
            if saved
            else []
            for own, saved in zip(self._parameters, state, strict=True)
        ]


OBSERVERS: dict[str, type[Gradients] | type[Movement]] = {"gradient": Gradients, "movement": Movement}


def trainable(stages: Sequence[nn.Module]) -> list[list[nn.Parameter]]:
    """The parameters of each stage that currently require gradients."""
    return [[p for p in stage.parameters() if p.requires_grad] for stage in stages]


def total(norms: Sequence[Tensor]) -> Tensor:
    """The sum of norms, in float64 as they may differ widely in size. Norms of sharded tensors are over all ranks."""
    return torch.stack([whole(norm).double() for norm in norms]).sum()


def whole(number: Tensor) -> Tensor:
    """The full value of a number that may be a DTensor, distributed over ranks (its module is slow to import)."""
    return number.full_tensor() if hasattr(number, "full_tensor") else number


def moved(now: Sequence[nn.Parameter], before: Sequence[Tensor]) -> Tensor:
    """The L2 norm of all differences between `now` and `before`, divided by that of `before`."""
    far, size = (
        total([whole(norm).double() ** 2 for norm in torch._foreach_norm(tensors)]).sqrt()
        for tensors in (torch._foreach_sub([p.detach() for p in now], list(before)), list(before))
    )
    return far / size


def together(numbers: Sequence[Tensor | None], parameters: Sequence[Sequence[Tensor]]) -> list[float]:
    """The numbers of all stages, 0 instead of None, read from the device in one transfer."""
    device = next(p.device for own in reversed(parameters) for p in own)
    zero = torch.zeros((), dtype=torch.float64, device=device)
    return torch.stack([zero if number is None else number for number in numbers]).tolist()

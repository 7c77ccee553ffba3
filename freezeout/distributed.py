"""DistributedDataParallel around a network that freezes: rebuilt inside at each freeze, the same object outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class Freezer(Protocol):
    """What of a FreezeOut decides when stages freeze."""

    prefix: int
    total_steps: int
    steps_begun: int

    @property
    def times(self) -> tuple[float, ...]: ...


class Distributed(nn.Module):
    """A network whose gradients are averaged over all ranks, those of its frozen stages no longer.

    A plain wrapper waits for the gradients of frozen parameters and fails ("Expected to have finished reduction"), or,
    with find_unused_parameters, walks the graph in every step. Here the wrapper is built anew, without what is frozen,
    in the first forward pass after a freeze event. Which step that is depends on the number of the step alone, so that
    all ranks do it in the same one. It knows parameters, gradients and hooks of its own only: `state_dict()` has the
    names that DistributedDataParallel gives ("module."), optimizers and schedulers go on as they are.

    Made by `FreezeOut.distribute`.

    Args:
        freezer: Its prefix is what is frozen.
        network: On this rank's device.
        options: Of DistributedDataParallel.

    Raises:
        ValueError: The schedule is not the same on all ranks.
    """

    def __init__(self, freezer: Freezer, network: nn.Module, **options: Any) -> None:
        super().__init__()
        self.module = network
        self._freezer = freezer
        self._options = options
        self._hooks: list[tuple[object, Callable]] = []
        refuse_different_schedules(freezer)
        self._build(init_sync=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's own forward, with the gradients of its backward averaged over all ranks."""
        self._keep_up()
        self._wrapper[0].training = self.training
        return self._wrapper[0](*args, **kwargs)

    def no_sync(self) -> AbstractContextManager[None]:
        """Within it gradients are not averaged, as while they are accumulated."""
        self._keep_up()  # a wrapper that the first pass within it would build knew nothing of it
        return self._wrapper[0].no_sync()

    def register_comm_hook(self, state: object, hook: Callable) -> None:
        """See DistributedDataParallel; it stays when the wrapper is built anew."""
        self._hooks.append((state, hook))
        self._wrapper[0].register_comm_hook(state, hook)

    def _keep_up(self) -> None:
        if self._built_for != self._freezer.prefix:
            self._build(init_sync=False)  # equal since the first time: nothing needs to be sent

    def _build(self, *, init_sync: bool) -> None:
        # In a tuple, so that the wrapper is no submodule beside the network itself. The old one goes first: its
        # hooks on the gradients go with it.
        self._wrapper: tuple[DistributedDataParallel, ...] = ()
        self._built_for = self._freezer.prefix
        self._wrapper = (DistributedDataParallel(self.module, init_sync=init_sync, **self._options),)
        for state, hook in self._hooks:
            self._wrapper[0].register_comm_hook(state, hook)


def refuse_different_schedules(freezer: Freezer) -> None:
    """Refuse ranks that would freeze at different steps, and so wait for each other for ever.

    Raises:
        ValueError: Their schedules differ, in the number of steps or in the times.
    """
    mine = (freezer.total_steps, freezer.times, freezer.steps_begun)
    all_of_them: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(all_of_them, mine)
    for rank, other in enumerate(all_of_them):
        for what, a, b in zip(("total_steps", "freeze times", "steps begun"), all_of_them[0], other, strict=True):
            if a != b:
                raise ValueError(
                    f"{what}={b} on rank {rank}, and {a} on rank 0: all ranks must freeze at the same step"
                )

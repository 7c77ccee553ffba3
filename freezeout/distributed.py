"""DistributedDataParallel for a network that freezes: a module that rebuilds its inner wrapper at each freeze event."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class Freezer(Protocol):
    """The attributes of a FreezeOut that determine when stages freeze."""

    prefix: int
    total_steps: int
    steps_begun: int

    @property
    def times(self) -> tuple[float, ...]: ...


class Distributed(nn.Module):
    """A network whose gradients are averaged over all ranks, except those of its frozen stages.

    A plain DistributedDataParallel waits for the gradients of frozen parameters and fails ("Expected to have finished
    reduction") or, with find_unused_parameters, traverses the graph in every step. Here the wrapper is rebuilt without
    the frozen parameters in the first forward pass after a freeze event. That step depends on the step number only, so
    it is the same on all ranks. `state_dict()` has the names that DistributedDataParallel gives ("module."), and
    optimizers and schedulers are not affected.

    Made by `FreezeOut.distribute`.

    Args:
        freezer: Its prefix determines which stages are frozen.
        network: The network, on this rank's device.
        options: Keyword arguments of DistributedDataParallel.

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
        """The network's own forward; the following backward pass averages gradients over all ranks."""
        self._keep_up()
        self._wrapper[0].training = self.training
        return self._wrapper[0](*args, **kwargs)

    def no_sync(self) -> AbstractContextManager[None]:
        """A context in which gradients are not averaged, for accumulating them."""
        self._keep_up()  # rebuild now: a wrapper built inside the context would not be in no_sync mode
        return self._wrapper[0].no_sync()

    def register_comm_hook(self, state: object, hook: Callable) -> None:
        """See DistributedDataParallel; the hook is registered again whenever the wrapper is rebuilt."""
        self._hooks.append((state, hook))
        self._wrapper[0].register_comm_hook(state, hook)

    def _keep_up(self) -> None:
        if self._built_for != self._freezer.prefix:
            self._build(init_sync=False)  # parameters are already equal on all ranks

    def _build(self, *, init_sync: bool) -> None:
        # In a tuple, so that the wrapper is not a submodule beside the network itself. The old wrapper is removed
        # first, and with it its gradient hooks.
        self._wrapper: tuple[DistributedDataParallel, ...] = ()
        self._built_for = self._freezer.prefix
        self._wrapper = (DistributedDataParallel(self.module, init_sync=init_sync, **self._options),)
        for state, hook in self._hooks:
            self._wrapper[0].register_comm_hook(state, hook)


def refuse_different_schedules(freezer: Freezer) -> None:
    """Refuse ranks that would freeze at different steps, because they would wait for each other for ever.

    Raises:
        ValueError: Their total steps, freeze times or steps begun differ.
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

"""One CUDA graph for each prefix: the whole step replayed by the device, without waiting for the host.

A graph is a step of fixed shape, and FreezeOut's step has a fixed shape between two freeze events. So the step is
captured anew at each of them, and only the graph of the present prefix is ever replayed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from freezeout.freeze import FreezeOut
from freezeout.train.step import Step

WARM_UP = 2  # eager steps before the first capture: the first one creates the optimizer's momentum
WARM_UP_AGAIN = 1  # and of each later prefix, whose kernels are known but for those of the stages just frozen
WORTH = 20  # replays under which a capture does not pay


class Graphs(Protocol):
    """What captures: torch's CUDA graphs, or a stand-in that records operations."""

    def warm(self, body: Callable[[], None]) -> None:
        """Run `body` now, in the stream in which it will be captured."""

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """Record the operations of `body` without running them; the function returned runs them once."""

    def side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run calls, or record them, that do not depend on each other."""


class CapturedStep:
    """A step that is captured once for each prefix and replayed; called in its place.

    Learning rates lie in device memory, one row per step, and a counter inside the graph says which row is next. They
    are float32, as the fused optimizers read them. Groups whose rates are equal in all these steps share one. The first
    steps of a prefix are eager ones from the same buffers, then the step is captured, if at least WORTH replays are to
    come. Both do the same arithmetic in the same order. Where torch cannot capture the step, there is one warning, and
    the eager step goes on: to the end of the run, or, where it was memory that lacked, to the next prefix.

    Args:
        step: The eager step.
        freezeout: Asked for the rates of coming steps, and until when the prefix stays.
        optimizer: Its groups' rates become views of one tensor on the device.
        graphs: What captures.
    """

    def __init__(self, step: Step, freezeout: FreezeOut, optimizer: Optimizer, graphs: Graphs) -> None:
        self._step = step
        self._freezeout = freezeout
        self._optimizer = optimizer
        self._graphs = graphs
        step.update.side_by_side = graphs.side_by_side
        self._lap = step.lap
        self._until = 0  # the step at which the rates that are on the device, and the graph, come to their end
        self._replay: Callable[[], None] | None = None
        self._refused = False
        self._warm_up = WARM_UP

    def __call__(self, x: Tensor, labels: Tensor, number: int) -> None:
        """Train one step, after `freezeout.step(set_rates=False)`.

        Args:
            x: Images (batch, 3, height, width), or what `Step.run_prefix` made of them.
            labels: Classes (batch,).
            number: Of this training step, counted from 0 over the whole run.

        Raises:
            ValueError: The shape or type of a batch changed within a prefix.
        """
        if number >= self._until:
            self._begin(x, labels, number)
        for buffer, given in ((self._x, x), (self._labels, labels)):
            if (buffer.shape, buffer.dtype) != (given.shape, given.dtype):
                raise ValueError(
                    f"a captured step takes batches {buffer.dtype} {tuple(buffer.shape)}, not {given.dtype} "
                    f"{tuple(given.shape)}"
                )
            buffer.copy_(given)
        pays = number - self._from == self._warm_up and self._until - number >= WORTH
        if pays and not self._refused:
            self._capture()
        if self._replay is not None:
            self._lap("input")
            self._replay()
            self._lap("graph")
        else:
            self._graphs.warm(self._body)

    def reset(self) -> None:
        """Let the graph go, as the schedule was replaced under way: the next step is the first of a prefix."""
        self._replay, self._until = None, 0

    def _begin(self, x: Tensor, labels: Tensor, number: int) -> None:
        """Another prefix: its rates go to the device, and the graph of the one before is replayed no more."""
        self._replay = None
        self._from, self._until = number, self._freezeout.steady_until(number)
        table, column = distinct_columns(self._freezeout.rates_between(number, self._until))
        self._table = table.to(x.device)
        self._row = torch.zeros(1, dtype=torch.int64, device=x.device)
        self._rates = torch.empty_like(self._table[0])
        rates = list(self._rates)  # views: what the body writes, the optimizer reads
        for group, i in zip(self._optimizer.param_groups, column, strict=True):
            group["lr"] = rates[i]
        self._x, self._labels = torch.empty_like(x), torch.empty_like(labels)
        self._lap("switch")

    def _body(self) -> None:
        self._rates.copy_(self._table.index_select(0, self._row)[0])
        self._row += 1
        self._step(self._x, self._labels)

    def _capture(self) -> None:
        self._step.lap = lambda part: None  # moments inside a graph cannot be read
        try:
            self._replay = self._graphs.capture(self._body)
            self._warm_up = WARM_UP_AGAIN
        except RuntimeError as error:
            self._optimizer.zero_grad(set_to_none=True)
            self._refused = not isinstance(error, torch.OutOfMemoryError)
            until = "stays eager" if self._refused else "is eager until the next freeze event"
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            warnings.warn(f"the training step cannot be captured and {until}: {reason}", stacklevel=3)
        finally:
            self._step.lap = self._lap
        self._lap("switch")


def distinct_columns(table: Tensor) -> tuple[Tensor, list[int]]:
    """The different columns of a table (rows, columns), in the order of their first, and which one each column is."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.numpy().tobytes(), len(seen)) for column in table.unbind(1)]
    return table[:, [which.index(i) for i in range(len(seen))]], which

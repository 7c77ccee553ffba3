"""One CUDA graph per prefix: the device replays the whole step without waiting for the host.

A graph needs a step of fixed shape, and FreezeOut's step has a fixed shape between two freeze events. So the step is
captured again after each event, and only the graph of the current prefix is replayed.
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
WARM_UP_AGAIN = 1  # eager steps of each later prefix: only the kernels of the newly frozen stages are new
WORTH = 20  # smallest number of replays for which a capture pays off


class Graphs(Protocol):
    """Interface of what captures a step: torch's CUDA graphs, or a stand-in that records operations."""

    def warm(self, body: Callable[[], None]) -> None:
        """Run `body` now, in the stream in which it will be captured."""

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """Record the operations of `body` without running them; the function returned runs them once."""

    def side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run or record calls that do not depend on each other."""


class CapturedStep:
    """A replacement for the eager step that is captured once per prefix and then replayed.

    Learning rates are in device memory, one row per step, and a counter inside the graph selects the next row. They are
    float32, as the fused optimizers read them. Groups whose rates are equal in all steps of the prefix share one value.
    The first steps of a prefix run eagerly from the same buffers; then the step is captured, if at least WORTH replays
    remain. Both do the same arithmetic in the same order. If torch cannot capture the step, it warns once and continues
    eagerly, to the end of the run or, if memory was insufficient, to the next prefix.

    Args:
        step: The eager step.
        freezeout: Gives the learning rates of the following steps, and the step at which the prefix may change.
        optimizer: Its groups' rates become views of one tensor on the device.
        graphs: Captures the step.
    """

    def __init__(self, step: Step, freezeout: FreezeOut, optimizer: Optimizer, graphs: Graphs) -> None:
        self._step = step
        self._freezeout = freezeout
        self._optimizer = optimizer
        self._graphs = graphs
        step.update.side_by_side = graphs.side_by_side
        self._lap = step.lap
        self._until = 0  # the first step for which the rates on the device, and the graph, are no longer valid
        self._replay: Callable[[], None] | None = None
        self._refused = False
        self._warm_up = WARM_UP

    def __call__(self, x: Tensor, labels: Tensor, number: int) -> None:
        """Train one step, after `freezeout.step(set_rates=False)`.

        Args:
            x: Images (batch, 3, height, width), or the output of `Step.run_prefix`.
            labels: Classes (batch,).
            number: Number of this training step, counted from 0 over the whole run.

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
        """Stop replaying the graph because the schedule was replaced: the next step counts as the first of a prefix."""
        self._replay, self._until = None, 0

    def _begin(self, x: Tensor, labels: Tensor, number: int) -> None:
        """Begin a new prefix: move its rates to the device and stop replaying the previous prefix's graph."""
        self._replay = None
        self._from, self._until = number, self._freezeout.steady_until(number)
        table, column = distinct_columns(self._freezeout.rates_between(number, self._until))
        self._table = table.to(x.device)
        self._row = torch.zeros(1, dtype=torch.int64, device=x.device)
        self._rates = torch.empty_like(self._table[0])
        rates = list(self._rates)  # views: the body writes them, the optimizer reads them
        for group, i in zip(self._optimizer.param_groups, column, strict=True):
            group["lr"] = rates[i]
        self._x, self._labels = torch.empty_like(x), torch.empty_like(labels)
        self._lap("switch")

    def _body(self) -> None:
        self._rates.copy_(self._table.index_select(0, self._row)[0])
        self._row += 1
        self._step(self._x, self._labels)

    def _capture(self) -> None:
        self._step.lap = lambda part: None  # times inside a graph cannot be read
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
    """The distinct columns of a table (rows, columns), in order of first occurrence, and the index of each column's."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.numpy().tobytes(), len(seen)) for column in table.unbind(1)]
    return table[:, [which.index(i) for i in range(len(seen))]], which

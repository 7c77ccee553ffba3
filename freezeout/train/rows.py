"""Entries of a cache in one kind of memory: on the device, or in its host's memory, or in a file mapped there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

LEAVING = 8  # writes under way at a time: their pinned memory comes on top of what the cache was given


class Rows(Protocol):
    """Entries of one kind of memory, one row an image."""

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        """Begin to read rows; the function returned gives them, on the device.

        Args:
            index: Which, int64 (b,), on the CPU.
        """

    def write(self, index: Tensor, rows: Tensor) -> None:
        """Replace the rows of an index by `rows` (b, numbers), on the device."""

    def settle(self) -> None:
        """Wait until all that was written is there."""


@dataclass
class Near:
    """Rows that the device reads by itself."""

    rows: Tensor

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        return lambda: self.rows.index_select(0, sent(index, self.rows.device))

    def write(self, index: Tensor, rows: Tensor) -> None:
        self.rows.index_copy_(0, sent(index, self.rows.device), rows)

    def settle(self) -> None:
        """Nothing to wait for: the device keeps the order."""


@dataclass
class Far:
    """Rows in the memory of a GPU's host, or in a file mapped there; they travel in a stream of their own.

    Attributes:
        rows: (images, numbers), on the CPU.
        device: The GPU.
        stream: In which rows are brought to it.
    """

    rows: Tensor
    device: torch.device
    stream: torch.cuda.Stream
    _leaving: list[tuple[torch.cuda.Event, Tensor, Tensor]] = field(default_factory=list)

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        self._land(wait=False)
        here = travelling((len(index), self.rows.shape[1]), self.rows.dtype)
        torch.index_select(self.rows, 0, index, out=here)
        with torch.cuda.stream(self.stream):
            there = here.to(self.device, non_blocking=True)
            arrived = self.stream.record_event()

        def take() -> Tensor:
            now = torch.cuda.current_stream(self.device)
            now.wait_event(arrived)
            there.record_stream(now)
            return there

        return take

    def write(self, index: Tensor, rows: Tensor) -> None:
        self._land(wait=False)
        here = travelling(rows.shape, rows.dtype)
        here.copy_(rows, non_blocking=True)
        self._leaving.append((torch.cuda.current_stream(self.device).record_event(), here, index))
        if len(self._leaving) > LEAVING:
            self._land_first()

    def settle(self) -> None:
        self._land(wait=True)

    def _land(self, *, wait: bool) -> None:
        while self._leaving and (wait or self._leaving[0][0].query()):
            self._land_first()

    def _land_first(self) -> None:
        event, here, index = self._leaving.pop(0)
        event.synchronize()
        self.rows.index_copy_(0, index, here)


def travelling(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory of the host to and from which a GPU copies: pinned, or, where no more can be pinned, any.

    A copy through any other memory is as right; the host waits for it.
    """
    try:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    except RuntimeError:
        return torch.empty(shape, dtype=dtype)


def sent(index: Tensor, device: torch.device) -> Tensor:
    """An index on the device, without waiting for it."""
    if device.type != "cuda":
        return index
    return travelling(index.shape, index.dtype).copy_(index).to(device, non_blocking=True)

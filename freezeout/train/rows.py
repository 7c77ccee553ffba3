"""Entries of a cache in one kind of memory: on the device, in host memory, or in a file mapped there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

LEAVING = 8  # most writes in flight: their pinned memory is in addition to the cache's own


class Rows(Protocol):
    """Entries in one kind of memory, one row per image."""

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        """Begin to read rows; the function returned waits for them and gives them on the device.

        Args:
            index: Indices of the rows, int64 (b,), on the CPU.
        """

    def write(self, index: Tensor, rows: Tensor) -> None:
        """Replace the rows at `index`, int64 (b,) on the CPU, by `rows` (b, numbers) on the device."""

    def settle(self) -> None:
        """Wait until all writes have completed."""


@dataclass
class Near:
    """Rows in memory that the device reads directly."""

    rows: Tensor

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        return lambda: self.rows.index_select(0, sent(index, self.rows.device))

    def write(self, index: Tensor, rows: Tensor) -> None:
        self.rows.index_copy_(0, sent(index, self.rows.device), rows)

    def settle(self) -> None:
        """Nothing to wait for: the device executes operations in order."""


@dataclass
class Far:
    """Rows in the memory of a GPU's host, or in a file mapped there; they are copied in a stream of their own.

    Attributes:
        rows: (images, numbers), on the CPU.
        device: The GPU.
        stream: The stream in which rows are copied to the GPU.
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
    """Host memory for copies to and from a GPU: pinned or, if no more memory can be pinned, pageable.

    Copies through pageable memory give the same result, but the host waits for them.
    """
    try:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    except RuntimeError:
        return torch.empty(shape, dtype=dtype)


def sent(index: Tensor, device: torch.device) -> Tensor:
    """An index copied to the device, without waiting for the copy."""
    if device.type != "cuda":
        return index
    return travelling(index.shape, index.dtype).copy_(index).to(device, non_blocking=True)

"""The cache entries of one view of the images, spread over several kinds of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from freezeout.train.room import Room
from freezeout.train.rows import Rows, sent


class Layout(NamedTuple):
    """The memory layout of a stage's output.

    Attributes:
        shape, stride: Shape and stride of one image's output.
        dtype: Its dtype.
        numbers: Its number of elements; 0 if the images' outputs are not dense blocks one after another in memory, so
            that they cannot be kept.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    numbers: int

    @classmethod
    def of(cls, x: Tensor) -> Layout:
        numbers, lengths = x[0].numel(), sorted(zip(x.stride()[1:], x.shape[1:], strict=True))
        dense, room = x.stride(0) == numbers, 1
        for stride, length in lengths:
            if length > 1:
                dense, room = dense and stride == room, room * length
        return cls(tuple(x.shape[1:]), x.stride()[1:], x.dtype, numbers if dense else 0)

    def flat(self, x: Tensor) -> Tensor:
        """The output (batch, ...) as rows (batch, numbers), in memory order."""
        return x.as_strided((len(x), self.numbers), (self.numbers, 1))

    def shaped(self, rows: Tensor) -> Tensor:
        """The inverse of `flat`."""
        return rows.as_strided((len(rows), *self.shape), (self.numbers, *self.stride))


class Shelf:
    """The entries of one view at one depth, for the first images of the training set, spread over kinds of memory.

    Args:
        room: Allocates the rows.
        images: Kinds of memory and the number of images planned for each; kinds that cannot be allocated are left out.
        numbers: Number of elements of one entry.
        dtype: Their dtype.

    Attributes:
        parts: Of each kind allocated: its name, its rows, its first image and the image after its last.
    """

    def __init__(self, room: Room, images: Sequence[tuple[str, int]], numbers: int, dtype: torch.dtype) -> None:
        self._room = room
        self.numbers, self.dtype = numbers, dtype
        self.parts: list[tuple[str, Rows, int, int]] = []
        first = 0
        for kind, count in images:
            rows = room.take(kind, count, numbers, dtype) if count else None
            if rows is not None:
                self.parts.append((kind, rows, first, first + count))
                first += count

    @property
    def images(self) -> int:
        """Number of images that have a place: the first ones of the training set."""
        return self.parts[-1][3] if self.parts else 0

    def ask(self, index: Tensor) -> Callable[[], Tensor]:
        """See Rows; all images of the index must have a place."""
        if len(self.parts) == 1:
            return self.parts[0][1].ask(index)
        asked = []
        for _, rows, first, last in self.parts:
            where = ((index >= first) & (index < last)).nonzero().flatten()
            if len(where):
                asked.append((where, rows.ask(index[where] - first)))

        def take() -> Tensor:
            parts = [(where, part()) for where, part in asked]
            found = torch.empty(len(index), self.numbers, dtype=self.dtype, device=parts[0][1].device)
            for where, part in parts:
                found.index_copy_(0, sent(where, found.device), part)
            return found

        return take

    def write(self, index: Tensor, rows: Tensor) -> None:
        """See Rows; all images of the index must have a place."""
        for _, part, first, last in self.parts:
            where = ((index >= first) & (index < last)).nonzero().flatten()
            if len(where):
                part.write(index[where] - first, rows if len(where) == len(index) else rows[sent(where, rows.device)])

    def settle(self) -> None:
        for _, rows, _, _ in self.parts:
            rows.settle()

    def free(self) -> None:
        """Release the memory; the shelf cannot be used afterwards."""
        for kind, _, first, last in self.parts:
            self._room.give(kind, (last - first) * self.numbers * self.dtype.itemsize)
        self.parts = []

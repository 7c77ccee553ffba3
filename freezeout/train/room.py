"""Memory for the cached outputs of a frozen prefix: several kinds, each within a share of what is free.

The cache never exhausts memory: outputs that do not fit are not kept.
"""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from freezeout.savings.caching import Tier
from freezeout.train.clock import synchronise
from freezeout.train.free_memory import allocated_file, free_host
from freezeout.train.rows import Far, Near, Rows

FAILURES = (RuntimeError, OSError, MemoryError)  # raised if memory cannot be allocated
PROBE = 1 << 22  # bytes that are written and read to time a kind of memory
KINDS = ("device", "host", "disk")  # nearest first


class Room:
    """Allocates and frees rows within a limit for each kind of memory.

    Args:
        device: The device that trains.
        shares: Share of the free memory of each of KINDS that may be used; 0 turns a kind off. A CPU has no "host": its
            memory is the device's.
        folder: Folder for files. They are unnamed, so they are freed however the process ends.

    Attributes:
        shares: As given, for the kinds available here.
        limits: Bytes of each kind that may be used.
        taken: Bytes of each kind that are in use.
        most: Peak of `taken`.
    """

    def __init__(self, device: torch.device, shares: Mapping[str, float], folder: Path) -> None:
        self._device = device
        self.shares = {kind: shares[kind] for kind in KINDS if shares[kind] and (kind, device.type) != ("host", "cpu")}
        self._wanted = folder
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.limits: dict[str, int] = {}
        self.taken = dict.fromkeys(KINDS, 0)
        self.most = dict(self.taken)

    @property
    def _folder(self) -> Path:
        """The given folder, which a run makes after its cache; if it does not exist, its nearest existing parent."""
        return next(path for path in (self._wanted, *self._wanted.absolute().parents) if path.is_dir())

    def tiers(self, parts: int) -> dict[str, Tier]:
        """For each kind, one of `parts` equal parts of the memory that may be used now, with its measured speed."""
        self.limits = {kind: int(share * self._free(kind)) for kind, share in self.shares.items()}
        return {kind: Tier(limit // parts, *self._rates(kind)) for kind, limit in list(self.limits.items())}

    def take(self, kind: str, images: int, numbers: int, dtype: torch.dtype) -> Rows | None:
        """Rows for `images` entries of `numbers` elements each; None if they do not fit or allocation fails."""
        size = images * numbers * dtype.itemsize
        if self.taken[kind] + size > self.limits.get(kind, 0):
            return None
        try:
            made = self._make(kind, images, numbers, dtype)
        except FAILURES as error:
            self._do_without(kind, error)
            return None
        self.taken[kind] += size
        self.most[kind] = max(self.most[kind], self.taken[kind])
        return made

    def _do_without(self, kind: str, error: Exception) -> None:
        self.limits.pop(kind)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        warnings.warn(f"the cache does without {kind} memory: {reason}", stacklevel=3)

    def give(self, kind: str, size: int) -> None:
        """Mark `size` bytes as free again."""
        self.taken[kind] -= size

    def _make(self, kind: str, images: int, numbers: int, dtype: torch.dtype) -> Rows:
        if kind == "device":
            return Near(torch.empty(images, numbers, dtype=dtype, device=self._device))
        if kind == "host":
            rows = torch.empty(images, numbers, dtype=dtype)
        else:
            with allocated_file(self._folder, images * numbers * dtype.itemsize) as file:
                mapped = np.memmap(file, dtype=np.uint8, mode="r+")
            rows = torch.from_numpy(mapped).view(dtype).view(images, numbers)
        return Far(rows, self._device, self._stream) if self._stream else Near(rows)

    def _free(self, kind: str) -> int:
        if kind == "disk":
            return shutil.disk_usage(self._folder).free
        if kind == "device" and self._device.type == "cuda":
            return torch.cuda.mem_get_info(self._device)[0]
        return free_host()

    def _rates(self, kind: str) -> tuple[float, float]:
        """Seconds per byte read and per byte written, each the fastest of three."""
        numbers, most = 1 << 12, self.most[kind]
        rows = self.take(kind, PROBE // (4 * numbers), numbers, torch.float32)
        if rows is None:
            return math.inf, math.inf
        index = torch.arange(PROBE // (4 * numbers))
        try:
            values = torch.ones(len(index), numbers, device=self._device)
            write = min(self._seconds(lambda: rows.write(index, values), rows) for _ in range(3))
            # The request counts too, although it may overlap with a step.
            read = min(self._seconds(lambda: rows.ask(index)(), rows) for _ in range(3))
        except FAILURES as error:  # copying rows needs pinned memory
            self._do_without(kind, error)
            return math.inf, math.inf
        finally:
            self.give(kind, PROBE)
            self.most[kind] = most  # counts entries only, not the probe
        return read / PROBE, write / PROBE

    def _seconds(self, work: Callable[[], object], rows: Rows) -> float:
        synchronise(self._device)
        began = time.perf_counter()
        work()
        rows.settle()
        synchronise(self._device)
        return time.perf_counter() - began

"""Whether W&B's folder has room for the log of a run: wandb loses what it cannot write, and says nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

RUN = 500_000  # bytes of a run's folder beside its epochs: the record, and wandb's own logs
EPOCH = 4_000  # bytes of an epoch, with the rates of 40 stages

told: set[Path] = set()  # folders that this process has called full


def has_room(folder: Path, epochs: float) -> bool:
    """Whether W&B's folder has room for so many more epochs of a run. Where not, a line says so, once in a process.

    A quota that the file system does not count as its size is not seen.

    Args:
        folder: Where the folders of runs lie, or will lie.
        epochs: Of one run: its length, or what is left of it.
    """
    try:
        free = shutil.disk_usage(folder).free
    except FileNotFoundError:
        free = shutil.disk_usage(next(path for path in folder.resolve().parents if path.exists())).free
    size = RUN + EPOCH * epochs
    if free < size and folder not in told:
        told.add(folder)
        needs = f"the log of a run needs {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free"
        print(f"warning: W&B: {folder}: disk full; {needs}; runs go on without it until there is room", file=sys.stderr)
    return free >= size

"""Whether W&B's folder has room for the log of a run: wandb silently loses what it cannot write."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

RUN = 500_000  # bytes of a run's folder besides its epochs: the record, and wandb's own logs
EPOCH = 4_000  # bytes of an epoch, with the rates of 40 stages

told: set[Path] = set()  # folders that this process has reported as full


def has_room(folder: Path, epochs: float) -> bool:
    """Whether W&B's folder has room for this many more epochs of a run. If not, prints a line, once per process.

    A quota that the file system does not report as its size is not detected.

    Args:
        folder: The folder of the run folders, which may not exist yet.
        epochs: The length of one run, or what is left of it.
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

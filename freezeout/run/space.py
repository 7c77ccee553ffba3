"""A full disk: which folder, and how much room what was to be written there needs."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from freezeout.run.config import ConfigError

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(ConfigError):
    """There is no room for what is to be written: a sweep stops here, as its next run would find none either.

    Args:
        folder: Where.
        words: The system's own.
        needs: What is to be written there, and how large it is.
    """

    def __init__(self, folder: str, words: str, needs: str) -> None:
        super().__init__(folder, words, needs)
        self.folder, self.words, self.needs = folder, words, needs

    def __str__(self) -> str:
        return f"{self.folder}: disk full ({self.words}); {self.needs}; the same command goes on once there is room"


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or the share of it that the user may fill."""
    return error.errno in FULL


def disk_full(folder: Path, error: OSError, what: str, size: int) -> DiskFullError:
    """The error to raise where `size` bytes of `what` found no room in `folder`."""
    free = ""
    if error.errno == errno.ENOSPC:  # of a quota the system tells no rest
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free = f", and {megabytes(shutil.disk_usage(there).free)} are free"
    return DiskFullError(str(folder), str(error.strerror), f"{what} needs {megabytes(size)}{free}")


def megabytes(size: int) -> str:
    """`3.2 MB`; what is small is rounded up, as nobody makes less room."""
    return f"{max(size / 1e6, 0.1):.1f} MB"

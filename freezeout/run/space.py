"""A full disk: the folder, and the room needed for what was to be written there."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from freezeout.run.config import ConfigError

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(ConfigError):
    """There is no room for what is to be written. A sweep stops, since its next run would fail too.

    Args:
        folder: The full folder.
        words: The system's own message.
        needs: What is to be written there, and its size.
    """

    def __init__(self, folder: str, words: str, needs: str) -> None:
        super().__init__(folder, words, needs)
        self.folder, self.words, self.needs = folder, words, needs

    def __str__(self) -> str:
        return f"{self.folder}: disk full ({self.words}); {self.needs}; the same command resumes once there is room"


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota, is full."""
    return error.errno in FULL


def disk_full(folder: Path, error: OSError, what: str, size: int) -> DiskFullError:
    """The error to raise where `size` bytes of `what` found no room in `folder`."""
    free = ""
    if error.errno == errno.ENOSPC:  # for a quota the system does not give the room left
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free = f", and {megabytes(shutil.disk_usage(there).free)} are free"
    return DiskFullError(str(folder), str(error.strerror), f"{what} needs {megabytes(size)}{free}")


def megabytes(size: int) -> str:
    """`3.2 MB`; at least 0.1 MB."""
    return f"{max(size / 1e6, 0.1):.1f} MB"

"""A folder that cannot be written to, and a full disk: the folder, and the room needed for what was to be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from freezeout import checks
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


def check_writable(out: str) -> None:
    """Refuse a folder for results that cannot be made or written to, before anything is imported or measured for it.

    Nothing is made. What only writing shows is left to `unwritable`.

    Raises:
        ConfigError: One line.
    """
    try:
        checks.check_writable(f"out={out}", out)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def unwritable(out: str | Path, reason: str | None) -> ConfigError:
    """The error to raise where a folder for results cannot be written to."""
    return ConfigError(checks.unwritable(f"out={out}", reason))


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota, is full."""
    return error.errno in FULL


def disk_full(folder: Path, error: OSError, what: str, size: int) -> DiskFullError:
    """The error to raise where `size` bytes of `what` found no room in `folder`."""
    free = ""
    if error.errno == errno.ENOSPC:  # for a quota the system does not give the room left
        free = f", and {megabytes(shutil.disk_usage(checks.existing(folder)).free)} are free"
    return DiskFullError(str(folder), str(error.strerror), f"{what} needs {megabytes(size)}{free}")


def megabytes(size: int) -> str:
    """`3.2 MB`; at least 0.1 MB."""
    return f"{max(size / 1e6, 0.1):.1f} MB"

"""How much memory the host has left, and files whose space is allocated in advance."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import IO

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_host() -> int:
    """Bytes that this process may still allocate: the smaller of available memory and its container's limit."""
    return min(_available(), _left_by_cgroup())


def allocated_file(folder: Path, size: int) -> IO[bytes]:
    """An unnamed file of `size` bytes, which is deleted when the process ends, however it ends.

    Its space is allocated at once: writing to a mapped file on a full disk would kill the process.

    Raises:
        OSError: The disk has not enough space, or the system cannot allocate it in advance.
    """
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
    try:
        if not hasattr(os, "posix_fallocate"):
            raise OSError(errno.ENOTSUP, "this system cannot preallocate file space")
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        file.close()
        raise
    return file


def _available() -> int:
    if MEMINFO.exists():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # unknown: assume half of all memory


def _left_by_cgroup() -> int:
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    try:
        given = limit.read_text().strip()
        return 2**63 if given == "max" else max(0, int(given) - int(used.read_text()))
    except (OSError, ValueError):  # no control groups here, or not of version 2
        return 2**63

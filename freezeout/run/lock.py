"""A run's folder belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import TextIO

from freezeout.run.config import InUseError


def take(folder: Path) -> TextIO:
    """Take the folder for this process, until the file that is returned is closed or the process ends.

    Raises:
        InUseError: Another process holds it; names that process where it has said who it is.
        OSError: The folder cannot be written.
    """
    lock = (folder / ".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with lock:
            lock.seek(0)
            holder = lock.read().strip()
        raise InUseError(str(folder), f" ({holder})" if holder else "") from error
    except OSError:
        lock.close()
        raise
    lock.truncate(0)
    lock.write(f"pid {os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock

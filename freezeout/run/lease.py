"""A run's folder belongs to one process at a time, on one computer or on many that share a file system.

Who takes a folder writes a file and links it to `lease.<generation>`: of many that try, one succeeds, on NFS too. Who
takes over from a process that has died links the generation after its. A holder asks before each thing that it
writes whether it still is the holder, so that one that only stopped for a while does no harm when it goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Self

from freezeout.holder import BEAT, Held, Holder, Watch, generations, held, myself, path_of, read, written
from freezeout.records import TEMPORARY
from freezeout.run.config import InUseError, TakenOverError

GLANCE = 0.5  # seconds between two looks at a heartbeat that is waited for


class Lease:
    """A folder that this process holds, until `release`.

    A thread changes the heartbeat every `BEAT` seconds: one small write and a look into the folder, beside training.

    Attributes:
        folder: The run's.
        holder: This process.
        lost: Whether another process was seen to have taken it over; `check` looks anew.
    """

    def __init__(self, folder: Path, generation: int, holder: Holder, file: int) -> None:
        self.folder, self.holder, self.lost = folder, holder, False
        self._generation, self._file, self._ended = generation, file, threading.Event()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Called before anything is written. Raises TakenOverError where this process is the holder no more."""
        found = held(self.folder)
        if not self._is_mine(found):
            self.lost = True
            raise TakenOverError(str(self.folder), f" ({found.holder})" if found else "")

    def release(self) -> None:
        """Give the folder back."""
        self._ended.set()
        self._thread.join()
        os.close(self._file)
        _unlink(self.folder, self._generation, self.holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_mine(self, found: Held | None) -> bool:
        return found is not None and found.holder.token == self.holder.token

    def _keep(self) -> None:
        """The thread. The file is written through its handle: once its name is another's, that does nothing."""
        count = 0
        while not self._ended.wait(BEAT):
            count += 1
            with contextlib.suppress(OSError):  # the next one may succeed; if none does, another process takes over
                os.pwrite(self._file, written(count, self.holder), 0)
                os.fsync(self._file)
                self.lost = not self._is_mine(held(self.folder))


def take(folder: Path, watch: Watch | None = None) -> Lease:
    """Take the folder for this process, and remove what a process that died has left there half written.

    Whether a holder on another computer lives shows in its heartbeat alone, which is waited for.

    Args:
        folder: The run's; it has to exist.
        watch: What was seen of the holder before.

    Raises:
        InUseError: Another process holds it; names that process.
        OSError: The folder cannot be written, or knows no links.
    """
    watch, first = watch or Watch(), None
    while True:
        found, lives = watch.look(folder)
        if found is not None and lives:
            first = first or found
            if found.holder.is_near or (found.holder.token, found.heartbeat) != (first.holder.token, first.heartbeat):
                raise InUseError(str(folder), f" ({found.holder})")
            time.sleep(GLANCE)
        elif (lease := _link(folder, found.generation + 1 if found else 1)) is not None:
            return lease


def _link(folder: Path, generation: int) -> Lease | None:
    """The lease of that generation; None where another process was faster."""
    holder = myself()
    temporary = folder / f".lease.{holder.token}{TEMPORARY}"
    file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    try:
        os.write(file, written(0, holder))
        os.fsync(file)
        linked = _linked(temporary, path_of(folder, generation))
    except BaseException:
        os.close(file)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    found = held(folder) if linked else None
    if found is None or found.holder.token != holder.token:  # somebody holds a higher generation
        _unlink(folder, generation, holder)
        os.close(file)
        return None
    for older in generations(folder):
        if older < generation:
            path_of(folder, older).unlink(missing_ok=True)
    for left in folder.glob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)
    return Lease(folder, generation, holder, file)


def _unlink(folder: Path, generation: int, holder: Holder) -> None:
    """Remove a lease that is still this holder's."""
    found = read(folder, generation)
    if found is not None and found.holder.token == holder.token:
        path_of(folder, generation).unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    """Whether the temporary file now has this name too, which no other file has had."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An answer of an NFS server that was lost and asked for again: the number of names tells whether it was ours.
        with contextlib.suppress(FileNotFoundError):
            return os.stat(temporary).st_nlink == 2
        return False
    except FileNotFoundError:  # who holds the folder has removed what looked left over
        return False
    return True


def clear(folder: Path, watch: Watch) -> None:
    """Remove what a process that has died left in a folder: its lease and what it had half written."""
    found, lives = watch.look(folder)
    if not lives and (found is not None or any(folder.glob(f".*{TEMPORARY}"))):
        with contextlib.suppress(InUseError):  # somebody was faster, and has cleared it
            take(folder, watch).release()

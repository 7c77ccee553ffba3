"""A run's folder belongs to one process at a time, on one computer or on many that share a file system.

To take a folder, a process writes a file and links it to `lease.<generation>`; of several that try, one succeeds, on
NFS too. To take over from a dead process, it links the next generation. A holder checks before every write that it
still holds the folder, so a process that was only suspended does no harm when it continues.
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

GLANCE = 0.5  # seconds between two checks of another process's heartbeat


class Lease:
    """A folder that this process holds, until `release`.

    A thread updates the heartbeat every `BEAT` seconds during training: one small write and one look into the folder.

    Attributes:
        folder: The run's folder.
        holder: This process.
        lost: Whether another process was seen to have taken it over; `check` looks again.
    """

    def __init__(self, folder: Path, generation: int, holder: Holder, file: int) -> None:
        self.folder, self.holder, self.lost = folder, holder, False
        self._generation, self._file, self._ended = generation, file, threading.Event()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Called before anything is written. Raises TakenOverError if this process no longer holds the folder."""
        found = held(self.folder)
        if not self._is_mine(found):
            self.lost = True
            raise TakenOverError(str(self.folder), f" ({found.holder})" if found else "")

    def release(self) -> None:
        """Release the folder."""
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
        """The thread. It writes through the file's handle: harmless once the name belongs to another process."""
        count = 0
        while not self._ended.wait(BEAT):
            count += 1
            with contextlib.suppress(OSError):  # the next one may succeed; if none does, another process takes over
                os.pwrite(self._file, written(count, self.holder), 0)
                os.fsync(self._file)
                self.lost = not self._is_mine(held(self.folder))


def take(folder: Path, watch: Watch | None = None) -> Lease:
    """Take the folder for this process, and remove files that a dead process left half written.

    Only the heartbeat shows whether a holder on another computer is alive, so this waits for it.

    Args:
        folder: The run's folder; it must exist.
        watch: Earlier observations of the holder.

    Raises:
        InUseError: Another process holds it; names that process.
        OSError: The folder cannot be written, or does not support links.
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
    """The lease of that generation; None if another process was faster."""
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
    """Remove a lease if this holder still owns it."""
    found = read(folder, generation)
    if found is not None and found.holder.token == holder.token:
        path_of(folder, generation).unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    """Whether the temporary file now also has this name, which no other file had."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An NFS server's answer was lost and the request repeated: the link count shows whether ours succeeded.
        with contextlib.suppress(FileNotFoundError):
            return os.stat(temporary).st_nlink == 2
        return False
    except FileNotFoundError:  # the holder of the folder removed it as a leftover
        return False
    return True


def clear(folder: Path, watch: Watch) -> None:
    """Remove what a dead process left in a folder: its lease and half-written files."""
    found, lives = watch.look(folder)
    if not lives and (found is not None or any(folder.glob(f".*{TEMPORARY}"))):
        with contextlib.suppress(InUseError):  # somebody was faster, and has cleared it
            take(folder, watch).release()

"""Which process holds a run's folder, by the lease in it, and whether it is still alive. Standard library only.

A lease is a file `lease.<generation>` in the folder with two lines: a heartbeat, which its holder keeps updating, and
the holder's identity. The highest generation holds the folder. `freezeout.run.lease` takes leases; this module only
reads them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

BEAT = 10.0  # seconds between two heartbeats
STALE = 90.0  # seconds without a heartbeat after which a lease is abandoned; a file server may hang for a while


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds a run.

    Attributes:
        host: Name of its computer.
        boot: Boot id of that computer; None if the system does not provide it.
        namespace: Its pid namespace (a container has its own); None if the system does not provide it.
        pid: Process id.
        began: Start time of the process in the system's own ticks, because pids are reused; None if unknown.
        token: A random string, different for each lease.
    """

    host: str
    boot: str | None
    namespace: str | None
    pid: int
    began: str | None
    token: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @property
    def is_near(self) -> bool:
        """Whether this process can see that one: same computer, same boot and same pid namespace."""
        near = (self.boot, self.namespace) == (_boot(), _namespace())
        return near and self.boot is not None and self.namespace is not None and self.began is not None

    @property
    def is_gone(self) -> bool:
        """Whether the process is known to have ended."""
        return self.is_near and _began(self.pid) != self.began


@dataclass(frozen=True)
class Held:
    """A lease as a reader finds it."""

    generation: int
    heartbeat: str
    holder: Holder


def myself() -> Holder:
    """This process, under a new token."""
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=pid,
        began=_began(pid),
        token=os.urandom(8).hex(),
    )


def written(heartbeat: int, holder: Holder) -> bytes:
    """The content of a lease's file. The heartbeat has a fixed width, so that it can be overwritten in place."""
    return f"{heartbeat:012d}\n{json.dumps(asdict(holder))}\n".encode()


def path_of(folder: Path, generation: int) -> Path:
    return folder / f"lease.{generation}"


def generations(folder: Path) -> list[int]:
    """The generations of the leases in a folder, highest first."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = [int(match[1]) for name in os.listdir(folder) if (match := re.fullmatch(r"lease\.(\d+)", name))]
    return sorted(found, reverse=True)


def read(folder: Path, generation: int) -> Held | None:
    """The lease of one generation; None if there is none. Reopens the file, since NFS shows changes only then."""
    try:
        heartbeat, _, text = path_of(folder, generation).read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return None
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError):  # of another version of the program: the holder is unknown, the heartbeat counts
        holder = Holder(host="unknown host", boot=None, namespace=None, pid=0, began=None, token=text)
    return Held(generation, heartbeat, holder)


def held(folder: Path) -> Held | None:
    """The lease that holds a folder; None if there is none."""
    found = (read(folder, generation) for generation in generations(folder))
    return next((lease for lease in found if lease is not None), None)


class Watch:
    """The heartbeats of others as seen by one reader, timed by its own clock, since clocks of computers differ.

    Args:
        clock: Returns seconds, from an arbitrary origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}  # by token: the heartbeat, and when it was first seen

    def look(self, folder: Path) -> tuple[Held | None, bool]:
        """The lease of a folder, and whether its holder appears to be alive.

        The holder counts as dead if its process is known to be gone, or if its heartbeat has not changed for `STALE`
        seconds since it was seen. Time that the file system takes to answer does not count.
        """
        asked = self._clock()
        found = held(folder)
        if found is None:
            return None, False
        token = found.holder.token
        heartbeat, since = self._seen.get(token, (None, 0.0))
        if heartbeat != found.heartbeat:
            self._seen[token] = found.heartbeat, self._clock()
            return found, not found.holder.is_gone
        return found, not found.holder.is_gone and asked - since < STALE


@cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


@cache
def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _began(pid: int) -> str | None:
    """When a process began, in ticks since boot; None if there is no such process or it is a zombie."""
    try:
        # After the name, which may contain anything: the state is the first field, the start time the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]

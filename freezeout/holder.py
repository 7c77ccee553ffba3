"""Who holds a run's folder: what the lease in it says, and whether its process still lives. Standard library only.

A lease is a file `lease.<generation>` in the folder: a line with a heartbeat, which its holder keeps changing, and one
with who that is. The highest generation holds the folder. `freezeout.run.lease` takes leases; this only reads them.
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
STALE = 90.0  # seconds without one after which a lease has been left; a file server may stop for a while


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds a run.

    Attributes:
        host: Name of its computer.
        boot: Which start of that computer; None where the system does not say.
        namespace: In which its pid counts (a container has one of its own); None where the system does not say.
        pid: The process.
        began: When the process began, in the system's own count: pids are used again.
        token: A random word, another for each lease.
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
        """Whether this process can see that one: the same start of the same computer, and the same pids."""
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
    """A lease as it stands in its file. The heartbeat has a fixed width, so that it can be written over."""
    return f"{heartbeat:012d}\n{json.dumps(asdict(holder))}\n".encode()


def path_of(folder: Path, generation: int) -> Path:
    return folder / f"lease.{generation}"


def generations(folder: Path) -> list[int]:
    """The generations whose leases lie in a folder, the highest first."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = [int(match[1]) for name in os.listdir(folder) if (match := re.fullmatch(r"lease\.(\d+)", name))]
    return sorted(found, reverse=True)


def read(folder: Path, generation: int) -> Held | None:
    """The lease of one generation; None where there is none. Opened anew, as NFS shows changes only then."""
    try:
        heartbeat, _, text = path_of(folder, generation).read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return None
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError):  # of another version of the program: whoever it is, only the heartbeat tells
        holder = Holder(host="a host unknown", boot=None, namespace=None, pid=0, began=None, token=text)
    return Held(generation, heartbeat, holder)


def held(folder: Path) -> Held | None:
    """The lease that holds a folder; None where there is none."""
    found = (read(folder, generation) for generation in generations(folder))
    return next((lease for lease in found if lease is not None), None)


class Watch:
    """What one reader has seen of the heartbeats of others, by its own clock: those of two computers differ.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}  # by token: the heartbeat, and since when it is that

    def look(self, folder: Path) -> tuple[Held | None, bool]:
        """The lease of a folder, and whether its holder lives as far as can be known.

        It does not if its process is known to be gone, or if its heartbeat was seen and has not changed for `STALE`
        seconds. Seconds that the file system takes to answer do not count.
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
    """When a process began, in ticks since the boot; None where there is none, or one that has ended but for a name."""
    try:
        # After the name, which may hold anything: the state is the first field, the start the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]

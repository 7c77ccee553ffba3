"""A process that a launcher has started on the command's machine: takes a GPU, and ends with the command.

The command puts its identity and the GPUs into the environment. Its child processes are its workers; a process on
another machine, or below a batch system's own process, is no worker in this sense.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from freezeout.run import devices

PARENT, DEVICES, VISIBLE = "FREEZEOUT_PARENT", "FREEZEOUT_DEVICES", "CUDA_VISIBLE_DEVICES"
LOOK = 1.0  # seconds between two checks that the command is alive
_parents: list[int] = []  # one, in a worker
_busy = threading.Event()


def announce(names: Sequence[str]) -> None:
    """Tell processes to be started which process is their command, and which GPUs they may choose from."""
    os.environ |= {PARENT: str(os.getpid()), DEVICES: ",".join(names)}


def visible(count: int) -> list[str]:
    """The names of the GPUs that this process may use, those with the most free memory first if known.

    Args:
        count: The number that torch sees.
    """
    if given := os.environ.get(VISIBLE):
        return [name.strip() for name in given.split(",") if name.strip()]
    found = by_memory() if count > 1 else []
    return found if len(found) == count else [str(i) for i in range(count)]


def by_memory() -> list[str]:
    """All GPUs of the machine by their UUIDs, the emptiest first; none if nvidia-smi does not list them."""
    asked = ["nvidia-smi", "--query-gpu=memory.used,uuid", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout
        used = [(int(line.partition(",")[0]), line.partition(",")[2].strip()) for line in said.splitlines()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return [uuid for _, uuid in sorted(used)]


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """Around each job, from before torch is imported.

    A worker takes its GPU. When its command has died it ends silently, after the job or while waiting for one. Jobs
    queued for it are left to whichever process takes over.
    """
    _begin()
    _busy.set()
    try:
        yield
    finally:
        _busy.clear()
        if is_orphan():
            os._exit(1)


def _begin() -> None:
    if _parents or os.environ.get(PARENT) != str(os.getppid()):
        return
    _parents.append(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the command passes it on once
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    names = [name for name in os.environ.get(DEVICES, "").split(",") if name]
    if len(names) > 1:
        os.environ[VISIBLE] = devices.claim(names, devices.claims_folder())


def _end_with_parent() -> None:
    """The thread. A run in training stops by itself, with a checkpoint."""
    while not is_orphan() or _busy.is_set():
        time.sleep(LOOK)
    os._exit(1)


def is_one() -> bool:
    """Whether this process is a worker."""
    return bool(_parents)


def is_orphan() -> bool:
    """Whether the command that this process works for has died."""
    return bool(_parents) and os.getppid() != _parents[0]

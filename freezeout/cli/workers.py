"""Runs in a launcher's processes: reports each as it ends, and lets all write checkpoints after a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from freezeout import holder
from freezeout.cli.expansion import Job
from freezeout.cli.sharing import Others

SHARE = 0.05  # of the time that may be spent on checking records
LEAST = 0.5  # least seconds between two checks
GRACE = 120.0  # seconds that runs get for their checkpoints after a signal; a second signal ends them at once


@contextlib.contextmanager
def watched(
    jobs: Sequence[Job], others: Others, said: Callable[[Job], str], tell: Callable[[Job], None]
) -> Iterator[None]:
    """Inside the block, report each job soon after it has ended; said: gives the line from its record."""
    ended, open_jobs = threading.Event(), list(jobs)

    def watch() -> None:
        pause = LEAST
        while not ended.wait(pause):
            began = time.monotonic()
            for job in list(open_jobs):
                if others.ended(job):
                    open_jobs.remove(job)
                    job.outcome = said(job)
                    tell(job)
            pause = max(LEAST, (time.monotonic() - began) / SHARE)

    thread = threading.Thread(target=watch, name="records", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def told_to_stop(jobs: Sequence[Job], after: str | None) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM reach the runs that train in processes below this one, which then checkpoint.

    This process then runs its own handler of the signal once none of them trains any more; a second signal does not
    wait for that. Processes started inside do not receive a terminal's Ctrl-C, which goes to all processes: one that is
    just importing would die with a traceback.

    Args:
        jobs: The jobs of these runs.
        after: The note on jobs that do not stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        if after is not None:
            print(after, file=sys.stderr, flush=True)
        told: set[int] = set()
        until = time.monotonic() + GRACE
        while (found := below(jobs)) and time.monotonic() < until:
            for pid in found - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            told |= found
            time.sleep(0.05)
        signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # Processes inherit the blocked signals of the thread that starts them; here another thread receives Ctrl-C.
    ended = threading.Event()
    threading.Thread(target=ended.wait, name="Ctrl-C", daemon=True).start()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        ended.set()
        restore()


def below(jobs: Sequence[Job]) -> set[int]:
    """The processes that hold one of the runs and descend from this one."""
    found = set()
    for job in jobs:
        lease = holder.held(job.folder)
        if lease is None or not lease.holder.is_near or lease.holder.is_gone:
            continue
        ancestor: int | None = lease.holder.pid
        while ancestor and ancestor != os.getpid():
            ancestor = _parent(ancestor)
        if ancestor:
            found.add(lease.holder.pid)
    return found


def _parent(pid: int) -> int | None:
    """The parent of a process; None if there is no such process, or the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None

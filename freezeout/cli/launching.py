"""Hands the runs still to do to Hydra's launcher: one by one in this process, or all at once elsewhere.

Several processes may be given the same sweep. Each skips runs that others hold, checks them again at the end, waits for
them, and continues those whose process has died.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from tqdm import tqdm

from freezeout.cli import workers
from freezeout.cli.deadline import Deadline
from freezeout.cli.expansion import Job
from freezeout.cli.sharing import Others
from freezeout.cli.terminal import lines_above_bars
from freezeout.run.config import ConfigError, InUseError
from freezeout.run.messages import one_line
from freezeout.run.phrases import time_left
from freezeout.run.space import DiskFullError

GLANCE = 1.0  # seconds between two checks of the runs of other processes


class Left(str):
    """The result of a run that the limit stopped or kept from starting; not a failure."""


def in_launch_order(jobs: Sequence[Job]) -> list[Job]:
    """Seeds outermost in the given order, so that compared runs are close in time; arms in an order drawn per seed.

    That order comes from a hash, so that no arm always runs first, and does not depend on what has been done already.
    """
    seeds = {seed: i for i, seed in enumerate(dict.fromkeys(job.config.seed for job in jobs))}

    def drawn(job: Job) -> tuple[int, str]:
        return seeds[job.config.seed], hashlib.sha256(f"{job.config.seed} {job.run_id}".encode()).hexdigest()

    return sorted(jobs, key=drawn)


def launch(
    jobs: Sequence[Job],
    launcher: Launcher,
    deadline: Deadline,
    *,
    here: bool,
    said: Callable[[Job], str] = lambda job: job.outcome,
    after: str | None = None,
) -> None:
    """Launch the jobs, and report the outcome of each; waits until the limit for those that other processes train.

    Args:
        jobs: The runs to do, in their order; their `outcome`, `elsewhere` and `left` are set.
        launcher: Hydra's launcher.
        deadline: Decides which runs may begin; runs stop at it by themselves.
        here: Whether the launcher runs them in this process; they are then handed over one by one.
        said: Gives the line on a job from its record, once it has ended.
        after: The note on jobs that go on when this process is stopped.

    Raises:
        DiskFullError: A run found no room; none is begun after it.
    """
    others, todo = Others(jobs), list(jobs)
    with Progress(jobs, deadline) as progress:

        def begin(part: Sequence[Job]) -> list[Job]:
            """Launch the free ones of these jobs; gives those that other processes hold."""
            ready, theirs = [], []
            for job in part:
                if others.ended(job):
                    progress.tell(job)
                elif others.hold(job):
                    theirs.append(job)
                elif deadline.lets_begin(job):
                    ready.append(job)
            if ready and here:
                with deadline.mended(ready[0]):
                    _hand_over(ready, launcher, progress.number(ready[0]) - 1)
            elif ready:
                with workers.told_to_stop(ready, after), workers.watched(ready, others, said, progress.tell):
                    _hand_over_all(ready, launcher, others, said)
            for job in ready:
                theirs.append(job) if job.elsewhere else progress.tell(job)
            return theirs

        while todo:
            theirs = [job for part in ([[job] for job in todo] if here else [todo]) for job in begin(part)]
            if theirs and deadline.seconds_left <= 0:
                return
            if theirs and len(theirs) == len(todo):
                others.say(theirs)
                time.sleep(GLANCE)
            todo = theirs


class Progress:
    """A line for each run that has ended, and on a terminal a bar below.

    Args:
        jobs: All runs to do.
        deadline: The deadline of the sweep.
    """

    def __init__(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        self._numbers = {job.run_id: number for number, job in enumerate(jobs, 1)}
        self._work = {
            job.run_id: deadline.work(job) for job in jobs
        }  # weights: a short run says little about a long one
        self._deadline = deadline
        self._ahead, self._behind = sum(self._work.values()), 0.0
        self._start, self._told = time.monotonic(), set[str]()

    def __enter__(self) -> Self:
        self._terminal = sys.stderr.isatty()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(lines_above_bars())
        disable = not self._terminal
        bar = tqdm(total=len(self._numbers), desc="sweep", unit="run", disable=disable, dynamic_ncols=True)
        self._bar = self._stack.enter_context(bar)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def number(self, job: Job) -> int:
        """The number of a run, from 1."""
        return self._numbers[job.run_id]

    def tell(self, job: Job) -> None:
        """Report the outcome of a run, once."""
        if job.run_id in self._told:
            return
        self._told.add(job.run_id)
        runs = len(self._numbers)
        ahead = runs - len(self._told)
        work = self._work[job.run_id]
        self._ahead, self._behind = self._ahead - work, self._behind + work
        left = (time.monotonic() - self._start) * self._ahead / self._behind
        left = min(left, self._deadline.seconds_left)
        expected = f"; {time_left(left)}" if ahead and not self._terminal and not job.left else ""
        print(f"[{self.number(job)}/{runs}] {job.label}{job.outcome}{expected}", file=sys.stderr, flush=True)
        self._bar.update()


def _hand_over(jobs: Sequence[Job], launcher: Launcher, first: int) -> None:
    """Give jobs to the launcher, wait for them, and keep each one's result; first: the number of the first."""
    returns = launcher.launch([job.overrides for job in jobs], initial_job_idx=first)
    for job, returned in zip(jobs, returns, strict=True):
        _take(job, returned)


def _hand_over_all(jobs: Sequence[Job], launcher: Launcher, others: Others, said: Callable[[Job], str]) -> None:
    """The same, if the launcher itself may fail: a process was killed, a queue refuses its jobs.

    Runs that have ended are then reported from their records, running ones are waited for, and the rest have failed.
    """
    try:
        _hand_over(jobs, launcher, 0)
    except (ConfigError, HydraException):
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)  # submitit's has the log of the job below
        for job in jobs:
            if others.ended(job):
                job.outcome = said(job)
            elif not others.hold(job):
                job.outcome = f"failed: {reason}"


def _take(job: Job, returned: JobReturn) -> None:
    """Keep a job's result, or the line of the error that prevented one."""
    try:
        said = returned.return_value
    except Exception as error:
        job.outcome = f"failed: {one_line(error)}"
        return
    if isinstance(said, DiskFullError):
        raise said
    job.elsewhere, job.left = isinstance(said, InUseError), isinstance(said, Left)
    job.outcome = f"trained by another process{said.holder}" if isinstance(said, InUseError) else str(said)

"""The runs that are still to do, handed to Hydra's launcher: in this process one by one, or elsewhere all at once."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from tqdm import tqdm

from freezeout import records
from freezeout.cli.deadline import Deadline
from freezeout.cli.expansion import Job
from freezeout.cli.sweep_file import key_of
from freezeout.cli.terminal import lines_above_bars
from freezeout.run.config import ConfigError, InUseError
from freezeout.run.messages import one_line
from freezeout.run.phrases import time_left

# Launchers that are packages of their own: the part of the option before the first underscore, and their module.
PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}


class Left(str):
    """What a job says of a run that the limit stopped, or did not let begin: no failure."""


def check_launcher(overrides: list[str]) -> None:
    """Raise ConfigError, in a line that says what to install, for a launcher whose package is not there."""
    for override in overrides:
        module = PLUGINS.get(override.partition("=")[2].partition("_")[0])
        if key_of(override) != "hydra/launcher" or module is None:
            continue
        if find_spec(f"hydra_plugins.{module}") is None:
            raise ConfigError(f"{override}: is not installed; pip install {module.replace('_', '-')}")


def in_launch_order(jobs: Sequence[Job]) -> list[Job]:
    """Seeds outermost in the order given, so that what is compared runs close in time; arms in an order of the seed's.

    That order is drawn by a hash, so that no arm always runs first, and is the same whatever has been done already.
    """
    seeds = {seed: i for i, seed in enumerate(dict.fromkeys(job.config.seed for job in jobs))}

    def drawn(job: Job) -> tuple[int, str]:
        return seeds[job.config.seed], hashlib.sha256(f"{job.config.seed} {job.run_id}".encode()).hexdigest()

    return sorted(jobs, key=drawn)


def launch(jobs: Sequence[Job], launcher: Launcher, deadline: Deadline, *, here: bool) -> None:
    """Launch the jobs, and say what became of each.

    Args:
        jobs: The runs to do, in their order; their `outcome`, `elsewhere` and `left` are set.
        launcher: Hydra's launcher.
        deadline: Which runs it lets begin; those begun stop there by themselves.
        here: It runs them in this process, so they are handed over one by one, with a line for each.
    """
    if not here:
        handed = [job for job in jobs if deadline.lets_begin(job)]
        returns = launcher.launch([job.overrides for job in handed], initial_job_idx=0) if handed else []
        for job, returned in zip(handed, returns, strict=True):
            _take(job, returned)
        return
    start, begun, terminal = time.monotonic(), 0, sys.stderr.isatty()
    with (
        lines_above_bars(),
        tqdm(total=len(jobs), desc="sweep", unit="run", disable=not terminal, dynamic_ncols=True) as bar,
    ):
        for number, job in enumerate(jobs, 1):
            if records.is_finished(job.record):
                job.outcome = "trained by another process meanwhile"
            elif deadline.lets_begin(job):
                with deadline.mended(job):
                    _take(job, launcher.launch([job.overrides], initial_job_idx=number - 1)[0])
            else:
                continue
            begun += 1
            left = min((time.monotonic() - start) / begun * (len(jobs) - number), deadline.seconds_left)
            expected = f"; {time_left(left)}" if number < len(jobs) and not terminal and not job.left else ""
            print(f"[{number}/{len(jobs)}] {job.label}{job.outcome}{expected}", file=sys.stderr, flush=True)
            bar.update()


def _take(job: Job, returned: JobReturn) -> None:
    """Keep what a job said of itself, or the one line of what stopped it from saying anything."""
    try:
        said = returned.return_value
    except Exception as error:
        job.outcome = f"failed: {one_line(error)}"
        return
    job.elsewhere, job.left = isinstance(said, InUseError), isinstance(said, Left)
    job.outcome = f"trained by another process{said.holder}" if isinstance(said, InUseError) else str(said)

"""Hydra's launchers, each a separate package: what to install for it, its schema, and its demands on a sweep."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from freezeout.checks import nearest
from freezeout.cli.sweep_file import key_of
from freezeout.naming import counted, options
from freezeout.run import worker
from freezeout.run.config import ConfigError

if TYPE_CHECKING:
    from freezeout.run.plan import Plan

GROUP, HERE = "hydra/launcher", "basic"  # the one that trains in this process, one run after another
# For each launcher with a file in conf/: the package in hydra_plugins that it comes from, and the extra of
# pyproject.toml that installs it.
PLUGINS = {
    "joblib": ("hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_submitit_launcher", "slurm"),
    "ray": ("hydra_ray_launcher", "ray"),
}


def check_launcher(overrides: Sequence[str], *, lone: bool = False, searchpath: bool = False) -> None:
    """Refuse a launcher that does not exist, before Hydra looks for it, and one for a single run.

    Args:
        overrides: The words typed.
        lone: Whether a single run is asked for, which is trained in this process.
        searchpath: Whether the user added folders of options, which may have launchers unknown here.

    Raises:
        ConfigError: One line that says what to install, or the nearest launcher.
    """
    for override in overrides:
        key, _, name = override.partition("=")
        if key_of(override) != GROUP:
            continue
        if name in PLUGINS and not is_installed(name):
            raise ConfigError(f"{override}: is not installed; pip install 'freezeout[{PLUGINS[name][1]}]'")
        if name == "submitit_slurm" and shutil.which("srun") is None:
            raise ConfigError(f"{override}: there is no Slurm here (no srun on the PATH)")
        known = [HERE, *options(GROUP)]
        if name not in known and not searchpath:
            raise ConfigError(f"{key}={name}: unknown{nearest(name, known)}")
        if lone and name != HERE:
            raise ConfigError(f"{override}: launches the runs of a sweep, and this is one run: add -m, or leave it out")


def is_installed(name: str) -> bool:
    """Whether Hydra's package for a launcher is installed."""
    return find_spec(f"hydra_plugins.{PLUGINS[name][0]}") is not None


def register() -> None:
    """Tell Hydra the schemas that the files of conf/hydra/launcher fill in: those of the packages that are installed.

    The packages register them under the names of our files. They are renamed: Hydra would otherwise match each file
    with the schema of its name, and warn about it.
    """
    Plugins.instance()  # loads the packages
    store = ConfigStore.instance()
    for name in PLUGINS:
        if (found := store.repo["hydra"]["launcher"].pop(f"{name}.yaml", None)) is not None:
            store.store(group="schema/launcher", name=name, node=found.node)


class Chosen:
    """The launcher that a sweep was given.

    Args:
        context: Hydra's context.
        function: The function that runs a job.
        config: The sweep's configuration as a whole.
    """

    def __init__(self, context: HydraContext, function: TaskFunction, config: DictConfig) -> None:
        self._context, self._function, self._config = context, function, config
        self.name = str(config.hydra.runtime.choices[GROUP])

    @property
    def is_here(self) -> bool:
        """Whether it trains in this process."""
        return self.name == HERE

    def check(self, plans: Sequence[Plan]) -> None:
        """Refuse what other processes would not do as planned here.

        Raises:
            ConfigError: Runs on a CPU are not told their threads, which are part of their names and cannot be those of
                this machine; or the runs write into a folder that Ray's processes would look for beside themselves;
                or no process is to train.
        """
        if self.name == "joblib" and self._config.hydra.launcher.n_jobs == 0:
            raise ConfigError("hydra.launcher.n_jobs=0: must be at least 1, or -1 for as many as there are cores")
        if self.name in (HERE, "joblib"):
            return
        if any(plan.device.type == "cpu" and plan.config.machine.threads is None for plan in plans):
            raise ConfigError(
                f"{GROUP}={self.name}: machine.threads must be given, as in machine.threads=4: on a CPU it is part of "
                "a run's name, and other machines may have a different number of cores"
            )
        out = plans[0].config.out
        if self.name == "ray" and not Path(out).is_absolute():
            raise ConfigError(f"out={out}: must be an absolute path for {GROUP}=ray, as in out={Path(out).resolve()}")

    def overrides(self, plan: Plan, run_id: str) -> list[str]:
        """Further overrides of a job, so that it is the same run there as planned here."""
        if self.is_here:
            return []
        threads = [f"machine.threads={plan.threads}"] if plan.device.type == "cpu" else []
        return [f"planned={run_id}", *threads]

    def make(self, plans: Sequence[Plan], gpus: int) -> Launcher:
        """Hydra's launcher.

        Args:
            plans: The runs that it will be given.
            gpus: The number of GPUs that torch sees here.
        """
        config = self._config.copy()
        if not self.is_here:  # a job requests as many cores as its run has threads, if these are fixed
            fixed = [plan.threads for plan in plans if plan.config.machine.threads or plan.device.type == "cpu"]
            OmegaConf.update(config, "machine.threads", max(fixed, default=None))
            worker.announce(worker.visible(gpus))
        if self.name == "joblib":
            from multiprocessing import resource_tracker

            from joblib.externals.loky.backend import resource_tracker as loky

            # joblib starts both before its first process. As each starts, it unblocks the signals that are blocked
            # here, and `workers.told_to_stop` blocks one.
            resource_tracker.ensure_running()
            loky.ensure_running()
        if self.name == "submitit_slurm":
            from freezeout.cli import slurm_queue

            slurm_queue.watch()
        return Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._function, config=config
        )

    def note(self, plans: Sequence[Plan], cores: int) -> str | None:
        """A note on the choice in one line: more threads than cores."""
        at_once = len(plans) if self.name == "submitit_local" else 1
        if self.name == "joblib":
            asked = self._config.hydra.launcher.n_jobs
            at_once = min(cores if asked == -1 else asked or 1, len(plans))
        threads = max(plan.threads for plan in plans) if plans[0].device.type == "cpu" else 0
        if at_once * threads <= cores:
            return None
        share, most = max(cores // at_once, 1), max(cores // threads, 1)
        fewer = f"machine.threads={share} (changes run names) or " if share < threads else ""
        joblib = "" if self.name == "joblib" else f"{GROUP}=joblib "
        return (
            f"note: {at_once} runs at once with {counted(threads, 'thread')} each compete for "
            f"{counted(cores, 'core')}: {fewer}{joblib}hydra.launcher.n_jobs={most} is faster"
        )

    def whereabouts(self, root: Path) -> str:
        """One line that says how to see the running runs, and where their output goes."""
        watch = f"python -m analysis status --watch --runs {root}"
        logs = {
            "submitit_slurm": f"; logs: {root}/.jobs/*/*_log.out",
            "submitit_local": f"; logs: {root}/.jobs/*/*_log.out",
            "ray": "; logs: /tmp/ray/session_latest/logs on the nodes",
        }
        return f"launcher: {self.name}; to watch the runs: {watch}{logs.get(self.name, '')}"

    @property
    def after(self) -> str | None:
        """A note on jobs that go on when the command is stopped; None if they stop with it."""
        if self.name != "submitit_slurm":
            return None
        name = self._config.hydra.launcher.name
        return f"the jobs stay in Slurm: scancel --name={name} cancels them; the same command waits for running ones"

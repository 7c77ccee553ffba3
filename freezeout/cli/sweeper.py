"""Arms x seeds -> the runs that are still to do, launched through Hydra.

A file of sweeps/ holds `arms` (lists of overrides, each of which may itself sweep), `seeds`, `common` overrides for
all, and `packed: true` if runs whose record is kept with the program count as done. Plain `-m model=a,b t_0=0.3,0.5`
goes through here too, as one arm. Every job is composed and checked, duplicates and finished runs are dropped, and the
list is saved, before anything is launched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from freezeout import records
from freezeout.cli import launchers, sweep_file, sweep_list
from freezeout.cli.composer import MISTAKES, Composer
from freezeout.cli.deadline import Deadline, one_for_all, one_limit, steps_done
from freezeout.cli.expansion import Job, expand, typed
from freezeout.cli.launching import in_launch_order, launch
from freezeout.cli.planning import Plans
from freezeout.cli.sharing import clear_finished
from freezeout.cli.sweep_file import SweepFile, key_of
from freezeout.cli.table import table
from freezeout.cli.unpacking import KEPT, unpack
from freezeout.naming import UNTITLED, counted, label_of
from freezeout.run import config as configuration
from freezeout.run import limit, wandb_agent
from freezeout.run.config import ConfigError
from freezeout.run.space import check_writable

if TYPE_CHECKING:
    from freezeout.run.plan import Plan


class SweepError(Exception):
    """Some runs failed; the message says how many, which and why. The others are done."""


class Arms(Sweeper):
    """The sweeper that `hydra/sweeper: arms` names."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.composed = config
        self.composer, self.plans = Composer(hydra_context.config_loader, config), Plans()
        self.chosen = launchers.Chosen(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Launch the runs still to do of the sweep that the arguments describe, and print its table.

        Raises:
            ConfigError: A mistake in the arguments or in the sweep's file; nothing has been started.
            SweepError: Some runs failed, now or before.
        """
        began, given = limit.now(), typed(arguments, self.composer)
        jobs, notes = self.expand(arguments)
        unread = [configuration.unread(job.config, given) for job in jobs]
        if all(unread):  # if any arm reads t_0, a t_0 that others do not read is no mistake
            notes += [f"note: {note}" for note in dict.fromkeys(unread)]
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
        most, retry = one_limit(jobs), one_for_all("retry_failed", [job.config.retry_failed for job in jobs])
        check_writable(jobs[0].config.out)
        from freezeout.cli.forecast import Rates, forecast, steps_of
        from freezeout.run import tracking  # torch: only once every job has been checked

        if wandb_agent.run_id() and tracking.active(jobs[0].config.tracker):
            raise ConfigError("-m: wandb agent has started this command for one run at W&B: leave out -m")
        plans: dict[str, Plan] = {}
        distinct: list[Job] = []
        for job in jobs:
            planned = self.plans.of(job)
            if job.run_id not in plans:
                plans[job.run_id] = planned
                distinct.append(job)
        self.chosen.check(list(plans.values()))
        name, root, own = self.name(given, jobs), distinct[0].folder.parent.parent, set(plans)
        unpacked = self.unpack(name, distinct, plans, root)
        rates = Rates()
        deadline = Deadline(most, began, plans, rates)
        for job in distinct:
            job.overrides += [f"sweep={name}", *deadline.handed_on]
        tell_apart(distinct)
        for job in distinct:
            pin(job, plans[job.run_id])
            job.overrides += self.chosen.overrides(plans[job.run_id], job.run_id)
        seeds = {seed: i for i, seed in enumerate(dict.fromkeys(job.config.seed for job in distinct))}
        listed = [(job, plans[job.run_id]) for job in sorted(distinct, key=lambda job: seeds[job.config.seed])]
        margin = self.file.margin if self.file else None
        entries = sweep_list.grow(
            root, name, [entry(job, planned, self.plans.anywhere(planned)) for job, planned in listed], margin
        )
        clear_finished(distinct)
        found = {job.run_id: job.record for job in distinct}
        todo = [job for job in in_launch_order(distinct) if is_open(found[job.run_id], retry)]
        dropped = f" ({counted(len(jobs) - len(distinct), 'duplicate')} dropped)" if len(jobs) > len(distinct) else ""
        runs = f"{counted(len(distinct), 'run')}{dropped}"
        done = before(list(found.values()), retry) + (f" ({unpacked} from packed records)" if unpacked else "")
        print(f"sweep {name}: {runs}, {done}, {ahead(todo)}, records in {root}", file=sys.stderr)
        if todo:
            print(tracking.destination(todo[0].config.tracker, root), file=sys.stderr)
            for run_id, record in found.items():  # except packed runs, which may come from another machine
                if run_id in own and record is not None and record["status"] == "done":
                    rates.expect(plans[run_id], record["seconds"]["total"], steps_of(plans[run_id]))
            if expected := forecast([plans[job.run_id] for job in todo], rates, [steps_done(job) for job in todo]):
                print(expected, file=sys.stderr, flush=True)
            self.launch(todo, deadline, plans, root)
        print(table(root, entries))
        if left := deadline.left(distinct):
            print(left, file=sys.stderr)
        report_failures(distinct)

    def expand(self, arguments: list[str]) -> tuple[list[Job], list[str]]:
        """The jobs of the sweep, duplicates included, and notes about them."""
        self.file = self._file(arguments)
        return expand(typed(arguments, self.composer), self.file, self.composer)

    def unpack(self, name: str, jobs: list[Job], plans: dict[str, Plan], root: Path) -> int:
        """Match jobs with packed records, if the sweep's file allows it; gives the number of records written now."""
        if self.file is None or not self.file.packed:
            return 0
        planned = [plans[job.run_id] for job in jobs]
        written = unpack(jobs, plans, root, KEPT / f"{name}.jsonl")
        plans |= {job.run_id: plan for job, plan in zip(jobs, planned, strict=True)}
        return written

    def launch(self, todo: Sequence[Job], deadline: Deadline, plans: Mapping[str, Plan], root: Path) -> None:
        """Hand the jobs to the launcher that was chosen, and wait for them."""
        import torch

        from freezeout.run.record import summary

        def said(job: Job) -> str:
            found = records.read_record(job.folder)  # the whole record: `job.record` has only some keys
            return summary(plans[job.run_id], found) if found is not None else job.outcome

        chosen, planned = self.chosen, [plans[job.run_id] for job in todo]
        if not chosen.is_here:
            for line in (chosen.note(planned, len(os.sched_getaffinity(0))), chosen.whereabouts(root)):
                print(line or "", end="\n" if line else "", file=sys.stderr, flush=True)
        made = chosen.make(planned, torch.cuda.device_count())
        launch(todo, made, deadline, here=chosen.is_here, said=said, after=chosen.after)

    def name(self, given: list[str], jobs: list[Job]) -> str:
        """The sweep's name: the one given, else the file's, else a digest of the configurations.

        A sweep whose overrides change the configurations of its file is a different sweep, named after both.
        """
        if self.composed.get("sweep"):
            return str(self.composed.sweep)
        if self.file is None:
            return f"multirun-{records.digest({'configurations': sorted(configurations(jobs))})[:6]}"
        inert = [o for o in given if sweep_list.is_inert(o)]
        if len(inert) == len(given) or configurations(jobs) <= self._configurations(inert, jobs):
            return self.file.name
        rest = [o for o in given if o not in inert]
        changing = [o for o in rest if self._configurations([g for g in given if g != o], jobs) != configurations(jobs)]
        made = sorted(changing or rest)
        name = f"{self.file.name}-{records.digest({'overrides': made})[:6]}"
        print(f"sweep {name}: {' '.join(made)} changes the runs of {self.file.path}", file=sys.stderr)
        return name

    def _configurations(self, given: list[str], jobs: list[Job]) -> set[str]:
        """The file's configurations under these overrides, for the networks and data of `jobs` only.

        Others cannot match any of the jobs, and planning them might download their data.
        """
        try:
            others = expand(given, self.file, self.composer)[0]
        except MISTAKES:  # the overrides supply what is required
            return set()
        known = {trained(job) for job in jobs}
        alike = [job for job in others if trained(job) in known]
        for job in alike:
            self.plans.of(job)
        unlike = {trained(job) for job in others} - known
        return configurations(alike) | unlike

    def _file(self, arguments: list[str]) -> SweepFile | None:
        chosen = self.composed.get("sweeps")
        typed = [a for a in arguments if key_of(a) == "sweeps"]
        if chosen is None:
            if any(self.composer.parse(a).is_sweep_override() for a in typed):
                raise ConfigError(f"{typed[0]}: one file at a time; run them in turn (shared runs are trained once)")
            return None
        name = str(self.composed.hydra.runtime.choices["sweeps"])
        content = OmegaConf.to_container(chosen, resolve=False) if OmegaConf.is_config(chosen) else chosen
        return sweep_file.checked(name.replace("/", "-"), content, self.composer.options)


def pin(job: Job, planned: Plan) -> None:
    """Write measured choices into the job, so that measurements during the sweep do not change its runs."""
    from freezeout.run.notes import say_once, unmeasured
    from freezeout.train.schema import CHOICES

    if planned.unmeasured:
        say_once(unmeasured(planned))
    if job.config.machine.measured:
        job.overrides += [f"machine.{field}={getattr(planned, field)}" for field in CHOICES]


def trained(job: Job) -> str:
    """The network, the data and the batch that a plan needs before it can be named."""
    return repr((job.config.model, job.config.dataset, job.config.batch_size))


def configurations(jobs: Sequence[Job]) -> set[str]:
    """The names of the jobs' configurations: their run names without the seed."""
    return {job.folder.parent.name for job in jobs}


def entry(job: Job, planned: Plan, anywhere: str) -> sweep_list.Entry:
    """A run's entry in the sweep's list; anywhere: its name that is the same on every machine."""
    label = label_of(planned.config_dict | {"augment": planned.augment})
    return {"run_id": job.run_id, "seed": job.config.seed, "label": label, "anywhere": anywhere}


def is_open(record: dict[str, Any] | None, retry: bool) -> bool:
    """Whether a sweep trains a run that has this record; a failed one only if requested."""
    return not records.is_finished(record) and (retry or record is None or record["status"] != "failed")


def before(found: Sequence[dict[str, Any] | None], retry: bool) -> str:
    """`36 done before, 1 diverged before (a result), 2 failed before (...)`, from the records that a sweep finds."""
    kept = [record for record in found if record is not None]
    done = sum(record["status"] == "done" for record in kept)
    diverged = sum(records.is_finished(record) for record in kept) - done
    failed = sum(record["status"] == "failed" for record in kept) - diverged
    words = f"{done} done before" + (f", {diverged} diverged before (a result)" if diverged else "")
    how = "tried again" if retry else "retry_failed=true tries again"
    return words + (f", {failed} failed before ({how})" if failed else "")


def ahead(todo: Sequence[Job]) -> str:
    """`2 to do (1 resumed)`."""
    resumed = sum((job.folder / "checkpoint.pt").exists() for job in todo)
    return f"{len(todo)} to do" + (f" ({resumed} resumed)" if resumed else "")


def tell_apart(jobs: list[Job]) -> None:
    """Label each job by the overrides that differ among the sweep's jobs, without those that its line shows anyway."""
    given = [dict(o.partition("=")[::2] for o in job.overrides) for job in jobs]
    usual, own = ("seed", "t_0", "strategy", "sweep"), [f"strategy.{field}" for field in UNTITLED]
    keys = [k for k in dict.fromkeys(k for g in given for k in g) if k in own or k.partition(".")[0] not in usual]
    varying = [k for k in keys if len({g.get(k) for g in given}) > 1]
    for job, words in zip(jobs, given, strict=True):
        job.label = "".join(f"{k}={words[k]} " for k in varying if k in words)


def report_failures(jobs: Sequence[Job]) -> None:
    """Print how many runs are trained elsewhere, and which diverged.

    Raises:
        SweepError: Runs failed; each is named with the reason.
    """
    lines: dict[str, list[str]] = {"failed": [], "diverged": []}
    elsewhere, kept = 0, 0
    for job in jobs:
        record = job.record
        if record is not None and record["status"] == "done":
            continue
        if job.elsewhere or job.left:
            elsewhere += job.elsewhere
            continue
        reason = str(record["reason"]) if record else job.outcome
        where = "" if str(job.folder) in reason else f"{job.folder}: "
        lines["diverged" if records.is_finished(record) else "failed"].append(f"  {job.label}{where}{reason}")
        kept += record is not None and record["status"] == "failed" and not records.is_finished(record)
    runs, failed = counted(len(jobs), "run"), len(lines["failed"])
    if elsewhere:
        print(f"{elsewhere} of {runs} being trained by another process", file=sys.stderr)
    if lines["diverged"]:
        print(f"{len(lines['diverged'])} of {runs} diverged (a result):", *lines["diverged"], sep="\n", file=sys.stderr)
    if failed:
        again = "retry_failed=true tries them again" if kept else "the same command tries them again"
        raise SweepError("\n".join([f"{failed} of {runs} failed; {again}:", *lines["failed"]]))

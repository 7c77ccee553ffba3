"""Arms x seeds -> the runs that are still to do, launched through Hydra.

A file of sweeps/ holds `arms` (lists of overrides, each of which may itself sweep), `seeds`, and `common` overrides for
all. Plain `-m model=a,b t_0=0.3,0.5` goes through here too, as one arm. Every job is composed and checked, duplicates
and finished runs are dropped, and the list is written down, before anything is launched.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from tqdm import tqdm

from freezeout import records
from freezeout.run import config as configuration
from freezeout.run.config import Config, ConfigError


class SweepError(Exception):
    """Some runs failed; the message says how many, which and why. The others are done."""


@dataclass
class Job:
    """One run to be: the overrides that make it and the configuration that they compose to.

    words: what tells it from the sweep's other runs, beside strategy and seed. said: what became of it.
    """

    overrides: list[str]
    config: Config
    folder: Path = Path()
    words: str = ""
    said: str = "left no record"


def key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


class Arms(Sweeper):
    """The sweeper that `hydra/sweeper: arms` names."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.composed = hydra_context, config
        self.runs_jobs = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        name, lists = self.expand(arguments)
        jobs = [self.compose(overrides) for overrides in lists]
        order = {seed: i for i, seed in enumerate(dict.fromkeys(job.config.seed for job in jobs))}
        jobs.sort(key=lambda job: order[job.config.seed])  # stable: the arms of one seed run close in time
        notes = [configuration.unread(job.config, arguments) for job in jobs]
        if all(notes):  # where some arm reads t_0, the others are just its company
            print(*(f"note: {note}" for note in dict.fromkeys(notes)), sep="\n", file=sys.stderr)
        from freezeout.cli.forecast import forecast
        from freezeout.run import identity, plan, resolve, tracking  # torch: only once every job has been checked

        plans: dict[str, plan.Plan] = {}
        distinct: list[Job] = []
        labels = []
        for job in jobs:
            planned = resolve.make_plan(job.config)
            run_id = identity.run_id(planned)
            if run_id in plans:
                continue
            plans[run_id] = planned
            job.folder = identity.folder(planned)
            job.overrides.append(f"sweep={name}")
            distinct.append(job)
            described = planned.config_dict
            known_as = {"strategy": described["strategy"], "epochs": described["epochs"]}
            labels.append({"run_id": run_id, "seed": job.config.seed, "label": known_as})
        tell_apart(distinct)
        root = distinct[0].folder.parent.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            records.write_json_atomic(
                records.sweep_path(root, name), {"sweep": name, "runs": [*other_seeds(root, name, labels), *labels]}
            )
        except OSError as error:
            raise ConfigError(f"out={root}: cannot write there ({error.strerror}); choose another folder") from error
        todo = [job for job in distinct if not records.is_finished(record_of(job))]
        dropped = len(jobs) - len(distinct)
        print(
            f"sweep {name}: {len(distinct)} runs{f' ({dropped} duplicates dropped)' if dropped else ''}, "
            f"{len(distinct) - len(todo)} already done, {len(todo)} to do, records in {root}",
            file=sys.stderr,
        )
        if todo:
            print(tracking.destination(todo[0].config.tracker, root), file=sys.stderr)
            if expected := forecast([p for p in plans.values() if identity.folder(p) in {job.folder for job in todo}]):
                print(expected, file=sys.stderr, flush=True)
            self.launch(todo)
        report_failures(distinct)

    def expand(self, arguments: list[str]) -> tuple[str, list[list[str]]]:
        """The name of the sweep and the overrides of each of its runs. What is given on the command line wins."""
        given = [a for a in arguments if key_of(a) != "sweeps"]
        keys = {key_of(a) for a in given}
        chosen = self.composed.get("sweeps")
        if chosen is None:
            arms: list[list[str]] = [[]]
            common: list[str] = []
            name = self.composed.get("sweep") or f"multirun-{records.digest({'arguments': sorted(given)})[:6]}"
        else:
            name = next(a.partition("=")[2] for a in arguments if key_of(a) == "sweeps")
            arms = [list(arm) for arm in chosen.arms]
            common = [*chosen.get("common", []), f"seed={','.join(str(s) for s in chosen.seeds)}"]
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        lists = []
        for arm in arms:
            # strategy=baseline also takes the place of an arm's strategy.budget=0.4.
            defaults = [o for o in [*common, *arm] if not keys & {key_of(o), key_of(o).partition(".")[0]}]
            parsed = parser.parse_overrides([*defaults, *given])
            lists += BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
        return name, [list(overrides) for overrides in lists]

    def compose(self, overrides: list[str]) -> Job:
        composed = self.context.config_loader.load_sweep_config(self.composed, overrides)
        return Job(list(overrides), configuration.parse(configuration.without_hydra(composed)))

    def launch(self, todo: list[Job]) -> None:
        """Launch the runs: one by one in this process, so that the bar can move, or all at once elsewhere."""
        alone = self.composed.hydra.runtime.choices["hydra/launcher"] == "basic"
        terminal = sys.stderr.isatty()
        start = time.monotonic()
        with tqdm(total=len(todo), desc="sweep", unit="run", disable=not terminal, dynamic_ncols=True) as bar:
            if not alone:
                returns = self.runs_jobs.launch([job.overrides for job in todo], initial_job_idx=0)
                for job, returned in zip(todo, returns, strict=True):
                    job.said = outcome(returned)
                bar.update(len(todo))
                return
            for i, job in enumerate(todo):
                job.said = outcome(self.runs_jobs.launch([job.overrides], initial_job_idx=i)[0])
                line = f"[{i + 1}/{len(todo)}] {job.words}{job.said}"
                if terminal:
                    bar.write(line, file=sys.stderr)
                else:
                    left = (time.monotonic() - start) / (i + 1) * (len(todo) - i - 1)
                    print(f"{line}; about {left / 60:.1f} min left", file=sys.stderr, flush=True)
                bar.update()


def outcome(returned: JobReturn) -> str:
    """What a job said of itself, or the one line of what stopped it from saying anything."""
    try:
        return str(returned.return_value)
    except Exception as error:
        return f"failed: {configuration.one_line(error)}"


def tell_apart(jobs: list[Job]) -> None:
    """Give each job the words that differ among the sweep's jobs, but for those that its own line has anyway."""
    given = [dict(o.partition("=")[::2] for o in job.overrides) for job in jobs]
    usual = ("seed", "t_0", "strategy", "sweep")
    keys = [k for k in dict.fromkeys(k for g in given for k in g) if k.partition(".")[0] not in usual]
    varying = [k for k in keys if len({g.get(k) for g in given}) > 1]
    for job, words in zip(jobs, given, strict=True):
        job.words = "".join(f"{k}={words[k]} " for k in varying if k in words)


def other_seeds(root: Path, name: str, labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that this sweep had before, of the same configurations under seeds that are not asked for now.

    So more seeds can be added later, while a sweep that changed otherwise is the new one alone.
    """
    path = records.sweep_path(root, name)
    before = json.loads(path.read_text())["runs"] if path.exists() else []
    seeds, kinds = {run["seed"] for run in labels}, [run["label"] for run in labels]
    return [run for run in before if run["seed"] not in seeds and run["label"] in kinds]


def record_of(job: Job) -> dict[str, Any] | None:
    """The job's record; None also where it cannot be read: the run itself will say so, and the others go on."""
    try:
        return records.read_record(job.folder)
    except ValueError:
        return None


def report_failures(jobs: list[Job]) -> None:
    """Raise SweepError, naming each run that is not done and why."""
    failed, diverged = [], 0
    for job in jobs:
        record = record_of(job)
        if record is None or record["status"] != "done":
            failed.append(f"  {job.words}{job.folder}: {record['reason'] if record else job.said}")
            diverged += bool(record and record.get("diverged"))
    if failed:
        again = f"; the same command tries {len(failed) - diverged} of them again" if diverged < len(failed) else ""
        lines = "\n".join(failed)
        raise SweepError(f"{len(failed)} of {len(jobs)} runs failed, {diverged} by divergence{again}:\n{lines}")

"""The plans of a sweep's runs. Replicates differ only in the seed, so one plan is made for all of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from freezeout import records
from freezeout.cli.expansion import Job
from freezeout.run.config import Config

if TYPE_CHECKING:
    from freezeout.run.plan import Plan


class Plans:
    """Makes plans, and sets run ids from them."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Plan, str]] = {}
        self._anywhere: dict[str, str] = {}

    def of(self, job: Job) -> Plan:
        """The plan of a job, which gives the job its run id and its folder. Raises ConfigError, as `make_plan` does."""
        from freezeout.run import identity  # torch: only once every job has been checked
        from freezeout.run.plan import with_seed
        from freezeout.run.resolve import make_plan

        key, seed = _but_for_the_seed(job.config), job.config.seed
        if key not in self._made:
            planned = make_plan(job.config)
            self._made[key] = planned, identity.name(planned)
        first, name = self._made[key]
        job.run_id, job.folder = records.run_id(name, seed), records.run_folder(Path(job.config.out), name, seed)
        return first if first.config.seed == seed else with_seed(first, seed)

    def anywhere(self, planned: Plan) -> str:
        """The name of the run that is the same on every machine."""
        from freezeout.run import identity

        key = _but_for_the_seed(planned.config)
        if key not in self._anywhere:
            self._anywhere[key] = identity.anywhere(planned)
        return self._anywhere[key]


def _but_for_the_seed(config: Config) -> str:
    return repr(dataclasses.replace(config, seed=0))

"""One sweep in several processes: the state of its runs in the others, from the records and leases in run folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from freezeout import records
from freezeout.cli.expansion import Job
from freezeout.holder import Watch
from freezeout.run import lease


class Others:
    """The state of a sweep's runs in other processes.

    Args:
        jobs: The runs to do, before anything is launched.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._watch, self._said = Watch(), set[str]()
        self._before = {job.run_id: job.record for job in jobs}

    def ended(self, job: Job) -> bool:
        """Whether another process has ended the run, done or failed, since this one began."""
        record = job.record
        if record is None or record["status"] == "interrupted" or record == self._before[job.run_id]:
            return False
        job.outcome = f"{'failed' if record['status'] == 'failed' else 'trained'} in another process meanwhile"
        job.elsewhere = False
        return True

    def hold(self, job: Job) -> bool:
        """Whether another process holds the run; the lease of a dead process is removed."""
        found, job.elsewhere = self._watch.look(job.folder)
        if found is not None and not job.elsewhere:
            lease.clear(job.folder, self._watch)
        return job.elsewhere

    def say(self, jobs: Sequence[Job]) -> None:
        """Print, once for each process that is waited for, its name and its run."""
        for job in jobs:
            found, _ = self._watch.look(job.folder)
            if found is not None and found.holder.token not in self._said:
                self._said.add(found.holder.token)
                print(f"waiting for {found.holder} to train {job.label}{job.folder}", file=sys.stderr, flush=True)


def clear_finished(jobs: Sequence[Job]) -> None:
    """Remove what processes left in the folders of finished runs that died after the record."""
    watch = Watch()
    for job in jobs:
        if records.is_finished(job.record):
            lease.clear(job.folder, watch)

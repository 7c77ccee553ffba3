"""`packed: true` of a sweep file: runs whose record is kept with the program are done, wherever they were trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freezeout import packed, records
from freezeout.cli.expansion import Job
from freezeout.naming import folder
from freezeout.run.config import ConfigError
from freezeout.run.space import unwritable

if TYPE_CHECKING:
    from freezeout.run.plan import Plan

KEPT = folder("analysis") / "records"


def unpack(jobs: Sequence[Job], plans: Mapping[str, Plan], root: Path, path: Path) -> int:
    """Match jobs with packed finished runs, each under its name where it was trained.

    A packed run matches a job if they agree in everything except the device's model and the threads; the first of
    several is taken. If two jobs agree in this way, only an equal name matches: they are there to compare machines. The
    record is written into the run's own folder, unless that folder already has files of the run.

    Args:
        jobs: The runs of the sweep; matched ones get the run id and the folder of the packed run.
        plans: Their plans by run id.
        root: The folder that holds all runs.
        path: The file of packed records.

    Returns:
        The number of records written.

    Raises:
        ConfigError: The file is damaged, or a folder cannot be written.
    """
    try:
        kept = {one["run_id"]: one for one in packed.read(path) if records.is_finished(one)}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for record in kept.values():
        if is_todays(record):
            found.setdefault((records.digest(records.anywhere(record["effective"])), record["seed"]), record)
    keys = {job.run_id: (anywhere(plans[job.run_id]), job.config.seed) for job in jobs}
    times, written = Counter(keys.values()), 0
    for job in jobs:
        key = keys[job.run_id]
        one = kept.get(job.run_id) or (found.get(key) if times[key] == 1 else None)
        if one is not None and not records.is_finished(job.record):
            written += _stands_for(job, one, root)
    return written


def anywhere(plan: Plan) -> str:
    from freezeout.run import identity  # torch: only once every job has been checked

    return identity.anywhere(plan)


def is_todays(record: dict[str, Any]) -> bool:
    """Whether this version would still give the run its name: not after a change of the engine's numerics."""
    effective = record.get("effective") or {}
    return bool(effective) and record["run_id"] == records.run_id(records.digest(effective), record["seed"])


def _stands_for(job: Job, record: dict[str, Any], root: Path) -> bool:
    """Match a job with a packed record, unless that run is there unfinished. Gives whether the record was written."""
    own = records.run_folder(root, record["run_id"].rpartition("-")[0], record["seed"])
    written = not (own / "record.json").exists() and not (own / "checkpoint.pt").exists()
    if written:
        try:
            records.write_json_atomic(own / "record.json", record)
        except OSError as error:
            raise unwritable(root, error.strerror) from error
    before = job.run_id, job.folder
    job.run_id, job.folder = record["run_id"], own
    if not records.is_finished(job.record):
        job.run_id, job.folder = before
    return written

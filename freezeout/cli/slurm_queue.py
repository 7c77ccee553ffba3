"""Lets submitit learn from the queue, instead of `sacct`, that a job has ended, if Slurm keeps no accounts.

Without this it would report at every check that `sacct` has no answer, and wait forever for a cancelled job.
"""

from __future__ import annotations

import subprocess

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
SECONDS = 60  # most seconds between two checks; Slurm lists a job for some minutes after its end


class QueueWatcher(SlurmInfoWatcher):
    """Reads the states of the user's jobs from `squeue`. A job that is no longer listed has ended."""

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%N"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        lines = (string if isinstance(string, str) else string.decode()).splitlines()
        found = {job: (state, nodes) for job, state, nodes in (line.split("|") for line in lines)}
        return {job: _info(job, *found.get(job, ("COMPLETED", ""))) for job in self._registered}


def _info(job: str, state: str, nodes: str) -> dict[str, str]:
    return {"JobID": job, "State": state if state in ENDED else "RUNNING", "NodeList": nodes}


def watch() -> None:
    """Let submitit ask the queue, unless `sacct` has answers here."""
    asked = subprocess.run(["sacct", "--noheader", "--jobs=1"], capture_output=True, check=False)
    if asked.returncode != 0:
        SlurmJob.watcher = QueueWatcher(delay_s=SECONDS)

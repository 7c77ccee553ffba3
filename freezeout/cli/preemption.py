"""SIGTERM in a Slurm job: the job was preempted and must be queued again, or it was cancelled."""

from __future__ import annotations

import os
import signal
import subprocess

from freezeout.run.signals import Stop


def queue_again(stop: Stop) -> None:
    """Make the handler of SIGUSR2 (submitit) queue a preempted job again, after its run has checkpointed.

    Slurm itself requeues only a job that still runs when its grace time ends; one that exits before counts as failed.

    Args:
        stop: Why the run has stopped.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or stop.signal is not signal.SIGTERM or not callable(signal.getsignal(signal.SIGUSR2)):
        return
    words = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    state = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    if state == "RUNNING":  # one that was cancelled is COMPLETING
        signal.raise_signal(signal.SIGUSR2)

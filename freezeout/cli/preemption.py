"""SIGTERM in a Slurm job: it makes room for another job and has to be queued again, or somebody has cancelled it."""

from __future__ import annotations

import os
import signal
import subprocess

from freezeout.run.signals import Stop


def queue_again(stop: Stop) -> None:
    """Ask who listens to SIGUSR2 in a preempted job (submitit) to queue it again, after its run has checkpointed.

    Slurm itself queues only what is still there when its patience ends; a job that has left by then counts as failed.

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

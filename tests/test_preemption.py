"""Who asks for a run's end is heard by the run first, and then by who queues it again."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from freezeout.cli import preemption
from freezeout.run import worker
from freezeout.run.signals import Stop


@pytest.fixture
def heard(monkeypatch) -> list[int]:
    """Somebody listens to SIGUSR2, as submitit does in a job; gives what it heard."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGUSR2, before)


def test_sigusr2_stops_a_run_and_then_reaches_who_listened_before(heard) -> None:
    stop = Stop()
    with stop.on_signals():
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.asked
        assert heard == [], "not before the checkpoint"
    assert heard == [signal.SIGUSR2]
    assert str(stop) == "SIGUSR2"


def test_without_a_listener_sigusr2_is_nobodys_business() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    assert before is signal.SIG_DFL
    with Stop().on_signals():
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_other_signals_are_passed_on_to_nobody(heard) -> None:
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signal is signal.SIGTERM
    assert heard == []


@pytest.mark.parametrize(("state", "again"), [("RUNNING", True), ("COMPLETING", False), ("", False)])
def test_a_job_that_slurm_preempts_is_queued_again_and_one_that_was_cancelled_is_not(
    tmp_path: Path, monkeypatch, heard, state: str, again: bool
) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(f'#!/bin/sh\n[ "$2" = --jobs=17 ] && echo {state}\n')
    squeue.chmod(squeue.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stop = Stop()
    stop.signal = signal.SIGTERM
    preemption.queue_again(stop)
    assert heard == [], "outside Slurm"
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    preemption.queue_again(stop)
    assert heard == [signal.SIGUSR2] * again
    stop.signal = signal.SIGINT
    preemption.queue_again(stop)
    assert len(heard) == again


def test_a_run_whose_command_has_died_stops(monkeypatch) -> None:
    stop = Stop()
    monkeypatch.setattr(worker, "_parents", [os.getppid()])
    assert not stop.asked
    monkeypatch.setattr(worker, "_parents", [os.getppid() + 1])
    assert stop.asked
    assert str(stop) == "its sweep has died"


def test_a_worker_leaves_ctrl_c_to_its_command(monkeypatch) -> None:
    monkeypatch.setenv(worker.PARENT, str(os.getpid()))
    monkeypatch.setattr(worker, "_parents", [])
    monkeypatch.setattr(worker.threading.Thread, "start", lambda self: None)
    with worker.at_work():
        assert not worker.is_one(), "this process is not its own child"
    monkeypatch.setenv(worker.PARENT, str(os.getppid()))
    before = signal.getsignal(signal.SIGINT)
    try:
        with worker.at_work():
            assert worker.is_one()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            with Stop().on_signals():
                assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

"""What submitit is told of jobs where Slurm keeps no accounts."""

from __future__ import annotations

import pytest

slurm_queue = pytest.importorskip("freezeout.cli.slurm_queue", exc_type=ImportError)

QUEUE = """\
7_0|RUNNING|node1
7_1|PENDING|
7_2|CANCELLED|node1
7_3|REQUEUE_HOLD|
9|COMPLETED|node2
"""


@pytest.fixture
def watcher():
    watcher = slurm_queue.QueueWatcher()
    for job in ("7_0", "7_1", "7_2", "7_3", "7_4"):
        watcher.register_job(job)
    return watcher


def test_the_queue_tells_which_jobs_have_ended(watcher, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("subprocess.check_output", lambda words, **_: asked.append(words) or QUEUE.encode())
    ended = [job for job in ("7_0", "7_1", "7_2", "7_3", "7_4") if watcher.is_done(job, mode="force")]
    assert ended == ["7_2", "7_4"], "the last is not listed any more"
    assert asked[0][0] == "squeue"
    assert watcher.get_info("7_2", mode="cache") == {"JobID": "7_2", "State": "CANCELLED", "NodeList": "node1"}


def test_a_queue_that_does_not_answer_says_nothing_about_the_jobs(watcher, monkeypatch, caplog) -> None:
    def fails(words, **_):
        raise OSError("no controller")

    monkeypatch.setattr("subprocess.check_output", fails)
    assert not watcher.is_done("7_0", mode="force")


@pytest.mark.parametrize("code", [0, 1])
def test_the_queue_is_asked_only_where_there_are_no_accounts(tmp_path, monkeypatch, code: int) -> None:
    (tmp_path / "sacct").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    before = slurm_queue.SlurmJob.watcher
    monkeypatch.setattr(slurm_queue.SlurmJob, "watcher", before)
    slurm_queue.watch()
    assert isinstance(slurm_queue.SlurmJob.watcher, slurm_queue.QueueWatcher) == (code == 1)

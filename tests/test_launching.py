"""Runs handed to a launcher: in which order, and what is made of what comes back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import pytest
from hydra.core.utils import JobReturn, JobStatus

from freezeout import holder, records
from freezeout.cli import launching, workers
from freezeout.cli.deadline import Deadline
from freezeout.cli.expansion import Job
from freezeout.cli.forecast import Rates
from freezeout.naming import counted
from freezeout.run import lease
from freezeout.run.config import InUseError, TakenOverError
from freezeout.run.phrases import time_left


class Config:
    def __init__(self, seed: int) -> None:
        self.seed = seed


def jobs(tmp_path, names: str = "abcdef", seeds=(0, 1, 2)) -> list[Job]:
    return [
        Job([f"name={name}"], Config(seed), run_id=f"{name}-{seed}", folder=tmp_path / name / str(seed))
        for name in names
        for seed in seeds
    ]


class Forever(Deadline):
    """No limit, for runs that cost what their seed says."""

    def __init__(self) -> None:
        super().__init__(None, began=0.0, plans={}, rates=Rates())

    def work(self, job: Job) -> float:
        return 1.0 + job.config.seed


class Over(Forever):
    """The time is over as soon as the runs have come back."""

    seconds_left = 0.0

    def lets_begin(self, job: Job) -> bool:
        return True

    def mended(self, job: Job) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Launcher:
    """Gives back what it was told to, and does something first."""

    def __init__(self, *values, first=lambda: None) -> None:
        self.values, self.first, self.launched = list(values), first, []

    def launch(self, overrides, initial_job_idx: int) -> list[JobReturn]:
        self.first()
        self.launched += overrides
        returns = []
        for _ in overrides:
            value = self.values.pop(0)
            status = JobStatus.FAILED if isinstance(value, RuntimeError) else JobStatus.COMPLETED
            returns.append(JobReturn(status=status, _return_value=value))
        return returns


def test_seeds_are_outermost_in_the_order_given_and_arms_in_an_order_of_the_seeds(tmp_path) -> None:
    ordered = launching.in_launch_order(jobs(tmp_path, seeds=(2, 0, 1)))
    assert [job.config.seed for job in ordered] == [2] * 6 + [0] * 6 + [1] * 6
    arms = ["".join(job.run_id[0] for job in ordered[i : i + 6]) for i in (0, 6, 12)]
    assert {"".join(sorted(order)) for order in arms} == {"abcdef"}
    assert len(set(arms)) == 3
    assert "abcdef" not in arms


def test_a_run_that_another_process_finished_meanwhile_is_not_launched(tmp_path, capsys) -> None:
    first, second = todo = jobs(tmp_path, names="ab", seeds=(0,))
    done = {"schema_version": records.SCHEMA_VERSION, "status": "done"}
    launcher = Launcher("fine", first=lambda: records.write_json_atomic(second.folder / "record.json", done))
    launching.launch(todo, launcher, Forever(), here=True)
    assert launcher.launched == [["name=a"]]
    assert (first.outcome, second.outcome) == ("fine", "trained in another process meanwhile")
    assert capsys.readouterr().err.splitlines()[1] == "[2/2] trained in another process meanwhile"


def holding(job: Job, **changes) -> None:
    """As if a process held the run of a job; changes: to which one it is, as compared with this one."""
    job.folder.mkdir(parents=True, exist_ok=True)
    who = dataclasses.replace(holder.myself(), **changes)
    holder.path_of(job.folder, 1).write_bytes(holder.written(0, who))


def ending(job: Job, status: str = "done") -> None:
    """As if the process that held the run of a job had brought it to its end."""
    record = {"schema_version": records.SCHEMA_VERSION, "status": status, "reason": "no luck"}
    records.write_json_atomic(job.folder / "record.json", record)
    holder.path_of(job.folder, 1).unlink()


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(("status", "word"), [("done", "trained"), ("failed", "failed")])
def test_a_run_that_another_process_trains_is_passed_over_and_waited_for(
    tmp_path, monkeypatch, capsys, here: bool, status: str, word: str
) -> None:
    first, *_ = todo = jobs(tmp_path, names="abc", seeds=(0,))
    holding(first)
    launcher, sleeps = Launcher("fine", "fine"), []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            ending(first, status)

    monkeypatch.setattr(launching.time, "sleep", sleep)
    launching.launch(todo, launcher, Forever(), here=here)
    assert launcher.launched == [["name=b"], ["name=c"]]
    assert [job.outcome for job in todo] == [f"{word} in another process meanwhile", "fine", "fine"]
    assert len(sleeps) == 3
    assert not first.elsewhere
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("waiting")]
    assert said == [f"waiting for pid {os.getpid()} on {socket.gethostname()} to train {first.folder}"], "once"


@pytest.mark.parametrize("changes", [{"began": "1"}, {"boot": "another"}], ids=["seen to be gone", "no heartbeat"])
def test_the_run_of_a_process_that_has_died_is_taken_over(tmp_path, monkeypatch, changes) -> None:
    (job,) = todo = jobs(tmp_path, names="a", seeds=(0,))
    holding(job, **changes)
    monkeypatch.setattr(holder, "STALE", 0.05)
    monkeypatch.setattr(launching, "GLANCE", 0.01)
    launcher = Launcher("fine", first=lambda: lease.take(job.folder).release())
    launching.launch(todo, launcher, Forever(), here=True)
    assert (job.outcome, launcher.launched) == ("fine", [["name=a"]])
    assert not list(job.folder.iterdir())


def test_a_run_that_another_process_took_first_is_looked_at_again(tmp_path, monkeypatch) -> None:
    first, _ = todo = jobs(tmp_path, names="ab", seeds=(0,))
    monkeypatch.setattr(launching, "GLANCE", 0.01)
    launcher = Launcher(TakenOverError("runs/a/0", " (pid 7 on node7)"), "fine", "went on")
    launching.launch(todo, launcher, Forever(), here=True)
    assert launcher.launched == [["name=a"], ["name=b"], ["name=a"]]
    assert (first.outcome, first.elsewhere) == ("went on", False)


@pytest.mark.parametrize("here", [True, False])
def test_what_a_job_returns_is_its_outcome_also_through_a_launcher_elsewhere(tmp_path, here: bool, capsys) -> None:
    todo = jobs(tmp_path, names="abc", seeds=(0,))
    held = pickle.loads(pickle.dumps(InUseError("runs/b/0", " (pid 7 on host)")))
    launching.launch(todo, Launcher("fine", held, RuntimeError("gone\nwith details")), Over(), here=here)
    assert [job.outcome for job in todo] == [
        "fine",
        "trained by another process (pid 7 on host)",
        "failed: gone with details",
    ]
    assert [job.elsewhere for job in todo] == [False, True, False]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "less than a minute left"),
        (59, "less than a minute left"),
        (250, "about 4 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_the_time_left_is_said_in_words(seconds: float, said: str) -> None:
    assert time_left(seconds) == said


def test_one_is_no_plural() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_the_end_of_a_run_elsewhere_is_told_while_the_others_train(tmp_path, monkeypatch, capsys) -> None:
    first, second = todo = jobs(tmp_path, names="ab", seeds=(0,))
    monkeypatch.setattr(workers, "LEAST", 0.01)
    told = []

    def train() -> None:
        done = {"schema_version": records.SCHEMA_VERSION, "status": "done"}
        records.write_json_atomic(first.folder / "record.json", done)
        until = time.monotonic() + 10
        while not (said := capsys.readouterr().err) and time.monotonic() < until:
            time.sleep(0.01)
        told.append(said)

    launcher = Launcher("from the launcher", "fine", first=train)
    launching.launch(todo, launcher, Forever(), here=False, said=lambda job: f"{job.run_id} by its record")
    assert told == ["[1/2] a-0 by its record; less than a minute left\n"]
    assert capsys.readouterr().err == "[2/2] fine\n", "each once"
    assert second.outcome == "fine"


def test_the_time_left_goes_by_what_the_runs_cost_and_not_by_their_number(tmp_path, monkeypatch, capsys) -> None:
    """A run that was half done before, or stops early, takes less than the others."""
    todo = jobs(tmp_path, names="a", seeds=(0, 2, 8))
    clock = iter([100.0, 400.0, 1300.0, 4000.0])
    monkeypatch.setattr(launching.time, "monotonic", lambda: next(clock))
    with launching.Progress(todo, Forever()) as progress:
        for job in todo:
            job.outcome = "done"
            progress.tell(job)
    left = [line.rpartition("; ")[2] for line in capsys.readouterr().err.splitlines()]
    assert left[:2] == ["about 60 min left", "about 45 min left"]


def test_a_launcher_that_breaks_down_fails_what_has_not_ended_and_waits_for_what_still_trains(
    tmp_path, monkeypatch, capsys
) -> None:
    first, _, third = todo = jobs(tmp_path, names="abc", seeds=(0,))
    monkeypatch.setattr(launching.time, "sleep", lambda seconds: ending(third))

    def breaks() -> None:
        done = {"schema_version": records.SCHEMA_VERSION, "status": "done"}
        records.write_json_atomic(first.folder / "record.json", done)
        holding(third)
        raise OSError("a process was killed\nwith its log")

    launching.launch(todo, Launcher(first=breaks), Forever(), here=False, said=lambda job: f"{job.run_id} done")
    assert [job.outcome for job in todo] == [
        "a-0 done",
        "failed: a process was killed",
        "trained in another process meanwhile",
    ]


def test_runs_in_children_get_one_signal_each_and_time_for_their_checkpoints(tmp_path, monkeypatch) -> None:
    """The command's own handler has its turn when the last of them has let its run go."""
    (job,) = jobs(tmp_path, names="a", seeds=(0,))
    job.folder.mkdir(parents=True)
    child = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.3), sys.exit(7)))\n"
    child += "print(); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
    process.stdout.readline()
    began = holder.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    holding(job, pid=process.pid, began=began)
    order = []
    before = signal.signal(signal.SIGTERM, lambda *_: order.append(process.poll()))
    try:
        with workers.told_to_stop([job], None):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
        process.stdout.close()
    assert order == [7], "once, and after the child"

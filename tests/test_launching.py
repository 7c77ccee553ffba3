"""Runs handed to a launcher: in which order, and what is made of what comes back."""

from __future__ import annotations

import pickle

import pytest
from hydra.core.utils import JobReturn, JobStatus

from freezeout import records
from freezeout.cli import launching
from freezeout.cli.deadline import Deadline
from freezeout.cli.expansion import Job
from freezeout.cli.forecast import Rates
from freezeout.naming import counted
from freezeout.run.config import ConfigError, InUseError
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


def forever() -> Deadline:
    return Deadline(None, began=0.0, plans={}, rates=Rates())


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
    launching.launch(todo, launcher, forever(), here=True)
    assert launcher.launched == [["name=a"]]
    assert (first.outcome, second.outcome) == ("fine", "trained by another process meanwhile")
    assert capsys.readouterr().err.splitlines()[1] == "[2/2] trained by another process meanwhile"


@pytest.mark.parametrize("here", [True, False])
def test_what_a_job_returns_is_its_outcome_also_through_a_launcher_elsewhere(tmp_path, here: bool, capsys) -> None:
    todo = jobs(tmp_path, names="abc", seeds=(0,))
    held = pickle.loads(pickle.dumps(InUseError("runs/b/0", " (pid 7 on host)")))
    launching.launch(todo, Launcher("fine", held, RuntimeError("gone\nwith details")), forever(), here=here)
    assert [job.outcome for job in todo] == [
        "fine",
        "trained by another process (pid 7 on host)",
        "failed: gone with details",
    ]
    assert [job.elsewhere for job in todo] == [False, True, False]


@pytest.mark.parametrize(
    ("option", "package"),
    [
        ("joblib", "hydra-joblib-launcher"),
        ("submitit_slurm", "hydra-submitit-launcher"),
        ("ray", "hydra-ray-launcher"),
    ],
)
def test_a_launcher_that_is_not_installed_says_what_to_install(freezeout, monkeypatch, option, package) -> None:
    monkeypatch.setattr(launching, "find_spec", lambda name: None)
    said = freezeout("-m", f"hydra/launcher={option}", "epochs=1")
    assert (said.code, said.err) == (
        2,
        f"freezeout: hydra/launcher={option}: is not installed; pip install {package}\n",
    )


def test_a_launcher_that_is_there_is_not_refused(monkeypatch) -> None:
    launching.check_launcher(["hydra/launcher=basic", "epochs=1"])
    monkeypatch.setattr(launching, "find_spec", lambda name: object())
    launching.check_launcher(["hydra/launcher=joblib"])
    monkeypatch.setattr(launching, "find_spec", lambda name: None)
    with pytest.raises(ConfigError):
        launching.check_launcher(["hydra/launcher=joblib"])


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

"""The same sweep on a Slurm and on a Ray that run here: equal records; jobs preempted, cancelled and failing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import engines
import pytest
from kills import BROKEN, NETWORK, RUNS, WORDS, found, left_over
from launched import ROOT, command, environment

from freezeout import records
from freezeout.cli.launchers import is_installed

pytestmark = [pytest.mark.slow, pytest.mark.long]
Environment = dict[str, str]
SLURM = ["hydra/launcher=submitit_slurm", "hydra.launcher.gres=gpu:1", "hydra.launcher.mem_gb=null"]
RAY = ["hydra/launcher=ray", "hydra.launcher.ray.init.address=auto", "hydra.launcher.ray.remote.num_gpus=0.5"]
LONG, FEW, ONE = ["epochs=500"], ["seed=0"], ["strategy=freezeout"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[Environment]:
    if reason := engines.slurm_is_missing():
        pytest.skip(reason)
    if not is_installed("submitit_slurm"):
        pytest.skip("hydra-submitit-launcher is not installed")
    with engines.slurm(tmp_path_factory.mktemp("slurm") / "s") as found_there:
        yield environment() | {key: found_there[key] for key in ("SLURM_CONF", "PATH")}


@pytest.fixture(scope="module")
def ray(tmp_path_factory) -> Iterator[Environment]:
    if not is_installed("ray"):
        pytest.skip("hydra-ray-launcher is not installed")
    with engines.ray(tmp_path_factory.mktemp("ray"), environment()) as found_there:
        yield found_there


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory) -> dict[str, Any]:
    """What the sweep leaves where it runs in one process."""
    out = tmp_path_factory.mktemp("basic") / "runs"
    ended(begin(out, environment()))
    return found(out)


def begin(out: Path, where: Environment, *words: str, network: str = NETWORK) -> subprocess.Popen:
    out.mkdir(parents=True, exist_ok=True)
    (out.parent / "tiny.py").write_text(network)
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(out, *words, own=WORDS), cwd=out.parent, env=where, **streams)


def ended(process: subprocess.Popen, code: int = 0) -> str:
    _, err = process.communicate(timeout=500)
    assert process.returncode == code, err
    assert "Traceback" not in err, err
    return err


def until(holds: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def in_training(out: Path) -> list[Path]:
    """The folders of runs that have a checkpoint and no record yet."""
    begun = [path.parent for path in out.glob("*/*/checkpoint.pt")]
    return [folder for folder in begun if not (folder / "record.json").exists()]


def statuses(out: Path) -> list[str]:
    return sorted(records.read_record(path.parent)["status"] for path in out.glob("*/*/record.json"))


def running(where: Environment) -> list[str]:
    return engines.asked(["squeue", "--noheader", "--array", "--states=R", "--format=%A"], where).split()


@pytest.mark.slurm
def test_an_array_of_slurm_leaves_the_runs_of_one_process_and_tells_each_end(tmp_path, slurm, one_by_one) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, slurm, *SLURM))
    assert found(out) == one_by_one
    assert left_over(out) == []
    lines = err.splitlines()
    assert sum(line.startswith("[") and ": error " in line for line in lines) == RUNS
    assert [line for line in lines if "sacct" in line or "submitit WARNING" in line] == []
    assert len({path.name.partition("_")[0] for path in (out / ".jobs").glob("[0-9]*_*")}) == 1, "one array"
    assert len(list((out / ".jobs").glob("*/*_log.out"))) == RUNS, "where the command says that they are"
    script = next((out / ".jobs").glob("*/*_submission.sh")).read_text()
    assert "#SBATCH --array=0-11%12" in script
    assert "#SBATCH --gres=gpu:1" in script
    assert "#SBATCH --cpus-per-task=1" in script
    before = len(list((out / ".jobs").iterdir()))
    assert "0 to do" in ended(begin(out, slurm, *SLURM))
    assert len(list((out / ".jobs").iterdir())) == before, "nothing is submitted"


@pytest.mark.slurm
def test_a_job_that_makes_room_for_another_is_queued_again_and_goes_on_in_its_own_folder(tmp_path, slurm) -> None:
    """By Slurm itself, with SIGTERM: a job of a partition that goes before needs the whole node."""
    out = tmp_path / "runs"
    process = begin(out, slurm, *SLURM, *LONG, *FEW)
    until(lambda: in_training(out), process)
    engines.asked(["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"], slurm)
    ended(process)
    made = [records.read_record(path.parent) for path in out.glob("*/*/record.json")]
    assert [record["status"] for record in made] == ["done"] * 3
    resumed = [record for record in made if len(record["segments"]) > 1]
    assert resumed
    assert all(record["repeated_seconds"] == 0 for record in resumed), "it had checkpointed"


@pytest.mark.slurm
def test_sigusr2_before_the_time_is_over_does_the_same(tmp_path, slurm) -> None:
    out = tmp_path / "runs"
    process = begin(out, slurm, *SLURM, *LONG, *FEW)
    until(lambda: in_training(out), process)
    for job in running(slurm):
        engines.asked(["scancel", "--signal=USR2", job], slurm)
    ended(process)
    made = [records.read_record(path.parent) for path in out.glob("*/*/record.json")]
    assert [record["status"] for record in made] == ["done"] * 3
    resumed = [record for record in made if len(record["segments"]) > 1]
    assert resumed
    assert all(record["repeated_seconds"] == 0 for record in resumed)


@pytest.mark.slurm
def test_a_job_that_is_cancelled_is_not_queued_again_nor_waited_for(tmp_path, slurm) -> None:
    out = tmp_path / "runs"
    process = begin(out, slurm, *SLURM, *LONG, *FEW, *ONE)
    until(lambda: in_training(out), process)
    for job in running(slurm):
        engines.asked(["scancel", job], slurm)
    err = ended(process, 1)
    assert "1 of 1 run failed" in err
    assert statuses(out) == ["interrupted"]
    assert running(slurm) == []
    ended(begin(out, slurm, *SLURM, *LONG, *FEW, *ONE))
    assert statuses(out) == ["done"]


@pytest.mark.slurm
def test_a_run_that_fails_there_does_not_stop_the_others(tmp_path, slurm) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, slurm, *SLURM, *ONE, network=BROKEN), 1)
    assert "1 of 4 runs failed; retry_failed=true tries them again" in err
    assert "ArithmeticError: no luck" in err
    assert statuses(out) == ["done", "done", "done", "failed"]


@pytest.mark.slurm
def test_tasks_that_are_given_the_sweep_share_it(tmp_path, slurm, one_by_one) -> None:
    """The command of docs/cluster.md for a login node that is not like the others."""
    out, line = tmp_path / "runs", next(x for x in (ROOT / "docs/cluster.md").read_text().splitlines() if "--wrap" in x)
    head, wrapped = line.removeprefix("$ ").split(" --wrap ")
    assert "'srun python -m freezeout -m " in line
    out.mkdir()
    (tmp_path / "tiny.py").write_text(NETWORK)
    words = [*head.replace("--array=1-8", "--array=1-2").split(), "--output=%a.log", "--wait"]
    sweep = "srun " + " ".join(command(out, own=WORDS))
    assert wrapped.startswith("'srun ")
    done = subprocess.run(
        [*words, "--wrap", sweep], cwd=tmp_path, env=slurm, capture_output=True, text=True, timeout=500
    )
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert done.returncode == 0, [done.stderr, *logs]
    assert found(out) == one_by_one
    assert len(logs) == 2
    assert all("12 runs" in log for log in logs)


@pytest.mark.slurm
def test_what_slurm_refuses_is_a_line(tmp_path, slurm) -> None:
    err = ended(begin(tmp_path / "runs", slurm, *SLURM, *FEW, "hydra.launcher.partition=none"), 1)
    assert "invalid partition specified: none" in err


@pytest.mark.ray
def test_tasks_of_ray_leave_the_runs_of_one_process(tmp_path, ray, one_by_one) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, ray, *RAY))
    assert found(out) == one_by_one
    assert left_over(out) == []
    assert sum(line.startswith("[") and ": error " in line for line in err.splitlines()) == RUNS
    assert "0 to do" in ended(begin(out, ray, *RAY))


@pytest.mark.ray
def test_a_run_that_fails_on_ray_does_not_stop_the_others(tmp_path, ray) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, ray, *RAY, *ONE, network=BROKEN), 1)
    assert "1 of 4 runs failed; retry_failed=true tries them again" in err
    assert statuses(out) == ["done", "done", "done", "failed"]

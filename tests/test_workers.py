"""A sweep in several processes of one machine: its ends are told, it stops as one, and another process takes over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kills import BROKEN, NETWORK, RUNS, WORDS, found, left_over
from launched import command, environment

from freezeout import holder, records

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
pytestmark = [pytest.mark.slow, pytest.mark.long]

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local"]
LONG, FEW = ["epochs=300"], ["seed=0"]  # long enough to be met in training
WHERE = (
    NETWORK.replace("def build(classes):", "def build(classes):\n    write()\n")
    + """
import os
from pathlib import Path

def write():
    Path(f"{os.getpid()}.gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""
)


def begin(out: Path, *words: str, launcher=JOBLIB, network: str = NETWORK, **variables: str) -> subprocess.Popen:
    out.mkdir(parents=True, exist_ok=True)
    (out.parent / "tiny.py").write_text(network)
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(
        command(out, *launcher, *words, own=WORDS), cwd=out.parent, env=environment() | variables, **streams
    )


def ended(process: subprocess.Popen, code: int = 0) -> str:
    _, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    assert "Traceback" not in err, err
    return err


def read(path: Path) -> dict[str, Any]:
    return records.read_record(path.parent)


def holders(out: Path, n: int, process: subprocess.Popen) -> list[int]:
    """Wait until so many runs are in training beyond their first epoch, and give the processes that train them."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        folders = [path.parent for path in out.glob("*/*/checkpoint.pt")]
        held = [lease for folder in folders if (lease := holder.held(folder))]
        if len(held) >= n:
            return [lease.holder.pid for lease in held]
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def until(true: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def in_session(session: int) -> list[int]:
    """The processes that belong to a session, zombies aside."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                pids.append(int(stat.parent.name))
    return pids


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory) -> dict[str, Any]:
    """What the sweep leaves where it runs in one process."""
    out = tmp_path_factory.mktemp("basic") / "runs"
    ended(begin(out, launcher=()))
    return found(out)


@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT])
def test_runs_side_by_side_are_those_one_by_one_and_each_end_is_a_line(tmp_path, one_by_one, launcher) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, launcher=launcher))
    assert found(out) == one_by_one
    assert left_over(out) == []
    told = [line for line in err.splitlines() if line.startswith("[")]
    assert len(told) == RUNS
    assert all(": error " in line for line in told), told
    assert "python -m analysis status --watch --runs" in err
    assert "0 to do" in ended(begin(out, launcher=launcher))


def test_ctrl_c_while_the_processes_start_is_no_traceback(tmp_path) -> None:
    process = begin(tmp_path / "runs")
    assert until(lambda: len(in_session(process.pid)) > 3), "the command, two trackers of resources, a first process"
    os.killpg(process.pid, signal.SIGINT)
    assert "the same command resumes" in ended(process, 128 + signal.SIGINT)
    assert until(lambda: not in_session(process.pid))


@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_all_runs_checkpoint_and_leaves_no_process(tmp_path, number: signal.Signals, launcher) -> None:
    """As a terminal sends Ctrl-C, to the whole group; SIGTERM to the command alone."""
    out = tmp_path / "runs"
    process = begin(out, *LONG, *FEW, launcher=launcher)
    holders(out, 2, process)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    err = ended(process, 128 + number)
    assert "the same command resumes" in err
    assert until(lambda: not in_session(process.pid))
    assert left_over(out) == []
    stopped = [record for path in out.glob("*/*/record.json") if (record := read(path))["status"] == "interrupted"]
    assert len(stopped) >= 2, "each wrote its checkpoint"
    assert all(record["repeated_seconds"] == 0 for record in stopped)
    ended(begin(out, *LONG, *FEW))
    found_now = [read(path) for path in out.glob("*/*/record.json")]
    assert [(record["status"], record["repeated_seconds"]) for record in found_now] == [("done", 0)] * 3


def test_when_the_command_is_killed_its_processes_stop_and_the_same_command_takes_over(tmp_path) -> None:
    out = tmp_path / "runs"
    process = begin(out, *LONG, *FEW)
    holders(out, 2, process)
    process.kill()
    process.communicate(timeout=120)
    assert until(lambda: not in_session(process.pid)), "nobody takes what they would train"
    assert [record for path in out.glob("*/*/record.json") if (record := read(path))["status"] != "interrupted"] == []
    assert "failed" not in ended(begin(out, *LONG, *FEW))
    assert [(read(path)["status"], read(path)["repeated_seconds"]) for path in out.glob("*/*/record.json")] == [
        ("done", 0)
    ] * 3
    assert left_over(out) == []


def test_a_process_that_is_killed_ends_the_sweep_in_words_and_the_same_command_goes_on(tmp_path) -> None:
    out = tmp_path / "runs"
    process = begin(out, *LONG, *FEW)
    os.kill(holders(out, 1, process)[0], signal.SIGKILL)
    err = ended(process, 1)
    assert "the same command tries them again" in err
    ended(begin(out, *LONG, *FEW))
    assert [read(path)["status"] for path in out.glob("*/*/record.json")] == ["done"] * 3


def test_a_run_that_fails_does_not_stop_the_others(tmp_path) -> None:
    out = tmp_path / "runs"
    err = ended(begin(out, "strategy=freezeout", network=BROKEN), 1)
    assert "1 of 4 runs failed" in err
    assert "ArithmeticError: no luck" in err
    statuses = sorted(read(path)["status"] for path in out.glob("*/*/record.json"))
    assert statuses == ["done", "done", "done", "failed"]


def test_each_process_takes_the_gpu_that_the_fewest_others_have(tmp_path) -> None:
    out = tmp_path / "runs"
    ended(begin(out, network=WHERE, CUDA_VISIBLE_DEVICES="5,7", TMPDIR=str(tmp_path)))
    assert {path.read_text() for path in tmp_path.glob("*.gpu")} == {"5", "7", "5,7"}, (
        "5,7: the command, which trains nothing"
    )

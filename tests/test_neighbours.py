"""A run knows whether it has its device to itself: other runs, threads that wait for a core, processes on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from launched import command, environment, only_run, wait_for_epochs

from freezeout import records
from freezeout.run import neighbours
from freezeout.run.neighbours import LONGEST_WAIT, Neighbours, Place, is_crowded, place_of, waits

HERE = Place(boot="b", gpu=None, cores=[0, 1])
GPU = replace(HERE, gpu="5f6a")


@pytest.fixture
def idle(monkeypatch) -> None:
    """Every thread of this process gets a core at once."""
    monkeypatch.setattr(neighbours, "waits", lambda: {"1": 0.0})


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (HERE, True),
        (replace(HERE, cores=[1, 2]), True),
        (replace(HERE, cores=[2, 3]), False),  # as Slurm gives them to two jobs of a node
        (replace(HERE, boot="c"), False),  # a folder that two computers see
        (GPU, False),
    ],
)
def test_two_runs_share_a_cpu_where_they_have_a_core_in_common(
    tmp_path, idle, monkeypatch, other: Place, shared: bool
) -> None:
    monkeypatch.setattr(neighbours, "is_crowded", lambda gpu: False)
    with Neighbours(HERE, tmp_path) as first, Neighbours(other, tmp_path) as second:
        assert (first.shared, second.shared) == (shared, shared)


def test_two_runs_share_a_gpu_by_its_uuid_whatever_their_cores(tmp_path, idle, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "is_crowded", lambda gpu: False)
    with Neighbours(GPU, tmp_path) as first, Neighbours(replace(GPU, gpu="77aa"), tmp_path) as other:
        assert (first.shared, other.shared) == (False, False)
        with Neighbours(replace(GPU, cores=[2]), tmp_path):
            assert (first.shared, other.shared) == (True, False)


def test_who_came_and_went_between_two_looks_was_there(tmp_path, idle) -> None:
    with Neighbours(HERE, tmp_path) as long:
        assert long.shared is False
        with Neighbours(HERE, tmp_path):
            pass
        assert long.shared is True
        assert len([*tmp_path.iterdir()]) == 1, "who leaves takes its file along"
    with Neighbours(HERE, tmp_path) as after:
        assert after.shared is False


def test_a_run_that_was_killed_is_no_neighbour_and_its_file_goes(tmp_path, idle) -> None:
    code = (
        "import sys, time; from pathlib import Path; from freezeout.run.neighbours import *\n"
        "found = Neighbours(Place('b', None, [0, 1]), Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with Neighbours(HERE, tmp_path) as beside:
            assert beside.shared is True
        process.kill()
    (left,) = tmp_path.iterdir()
    with Neighbours(HERE, tmp_path) as after:
        assert after.shared is False
        assert not left.exists()


def test_files_that_tell_nothing_are_nobodys(tmp_path, idle) -> None:
    (tmp_path / "empty").touch()  # by a run that has not come so far as to lock it
    (tmp_path / "folder").mkdir()
    with Neighbours(HERE, tmp_path) as found:
        assert found.shared is False
    assert (tmp_path / "empty").exists()


def test_without_a_folder_it_is_not_known_but_for_what_the_kernel_tells(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "waits", lambda: {"1": 0.0})
    (tmp_path / "file").touch()
    found = Neighbours(HERE, tmp_path / "file")
    assert found.shared is None
    monkeypatch.setattr(neighbours, "waits", lambda: {"1": 1e6})
    assert found.shared is True
    found.leave()


@pytest.mark.parametrize(
    ("before", "after", "shared"),
    [
        ({"1": 5.0}, {"1": 5.0 + 0.9 * LONGEST_WAIT, "2": 0.0}, False),
        ({"1": 5.0}, {"1": 5.0 + 1.1 * LONGEST_WAIT, "2": 0.0}, True),
        ({"1": 5.0}, {"1": 5.0, "2": 1.1 * LONGEST_WAIT}, True),  # a thread that began meanwhile
        ({"1": 5.0, "2": 9.0}, {"1": 5.0}, False),  # one that ended
        ({"1": 5.0}, None, None),
        (None, None, None),
    ],
)
def test_a_thread_that_waits_for_a_core_tells_of_other_programs(tmp_path, monkeypatch, before, after, shared) -> None:
    clock, counts = iter([100.0, 101.0]), iter([before, after])
    monkeypatch.setattr(neighbours.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(neighbours, "waits", lambda: next(counts))
    with Neighbours(HERE, tmp_path) as found:
        assert found.shared is shared


@pytest.mark.skipif(waits() is None, reason="this kernel does not count how long a thread waits for a core")
def test_the_kernel_counts_what_a_thread_waits_beside_another_program_on_its_core() -> None:
    code = (
        "import os, sys, time; from freezeout.run.neighbours import waits\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); children = int(sys.argv[1])\n"
        "pids = [os.fork() for _ in range(children)] if children else []\n"
        "if 0 in pids:\n    [None for _ in iter(lambda: time.monotonic() > float(sys.argv[2]), True)]; os._exit(0)\n"
        "before, end = max(waits().values()), time.monotonic() + 1\n"
        "while time.monotonic() < end: pass\n"
        "print(max(waits().values()) - before)"
    )

    def waited(children: int) -> float:
        words = [sys.executable, "-c", code, str(children), str(time.monotonic() + 20)]
        with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True, process_group=0) as process:
            assert process.stdout is not None
            seconds = float(process.stdout.readline())
            os.killpg(process.pid, 9)
        return seconds

    assert waited(children=1) > 0.2, "half of a second, where nothing else runs"


def nvidia_smi(folder: Path, monkeypatch, script: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "crowded"),
    [
        ("echo 'GPU-5f6a, 17'", False),
        ("echo 'GPU-5f6a, 17'; echo 'GPU-77aa, 18'", False),
        ("echo 'GPU-5f6a, 17'; echo 'GPU-5f6a, 18'", True),
        ("echo 'GPU-77aa, 18'", None),  # this process computes on it and is not listed
        ("true", None),
        ("echo broken >&2; exit 9", None),
    ],
)
def test_the_driver_tells_who_computes_on_a_gpu(tmp_path, monkeypatch, script: str, crowded: bool | None) -> None:
    nvidia_smi(tmp_path, monkeypatch, script)
    assert is_crowded("5f6a") is crowded
    assert is_crowded("GPU-5f6a") is crowded


def test_without_a_driver_a_gpu_may_be_shared(tmp_path, idle, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_crowded("5f6a") is None
    with Neighbours(GPU, tmp_path / "runs") as found:
        assert found.shared is None


def test_a_gpu_is_looked_at_now_and_then_and_what_was_seen_once_is_not_forgotten(tmp_path, idle, monkeypatch) -> None:
    answers, clock = iter([False, True]), [0.0]
    monkeypatch.setattr(neighbours.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(neighbours, "is_crowded", lambda gpu: next(answers))
    with Neighbours(GPU, tmp_path) as found:
        seen = []
        for seconds in (1.0, 30.0, 62.0, 500.0):
            clock[0] = seconds
            seen.append(found.shared)
    assert seen == [False, False, True, True]


def test_this_process_trains_on_the_cores_that_it_may_use() -> None:
    place = place_of(torch.device("cpu"))
    assert (place.gpu, place.cores) == (None, sorted(os.sched_getaffinity(0)))
    assert place.boot == neighbours.myself().boot


@pytest.mark.slow
def test_two_runs_at_once_give_the_errors_of_one_alone_and_say_that_they_shared(tmp_path) -> None:
    words, streams = ["epochs=20"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    processes = [subprocess.Popen(command(f, *words), cwd=f, env=environment(), **streams) for f in folders]
    for folder, process in zip(folders, processes, strict=True):
        wait_for_epochs(folder, 1, process)
    assert processes[0].poll() is None, "both train at once"
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    one, other = (records.read_record(only_run(folder)) for folder in folders)
    assert [entry["error"] for entry in one["epochs"]] == [entry["error"] for entry in other["epochs"]]
    assert (one["shared_device"], other["shared_device"]) == (True, True)
    assert [segment["shared_device"] for segment in one["segments"]] == [True]

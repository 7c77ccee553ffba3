"""A run's folder is one process's: of many that take it one succeeds, and who lost it writes nothing more."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import ROOT

from freezeout import holder
from freezeout.holder import Watch, held, myself, path_of, written
from freezeout.run import lease
from freezeout.run.config import InUseError, TakenOverError

DEAD = dataclasses.replace(myself(), began="1")  # a process that had this pid before
AWAY = dataclasses.replace(myself(), host="node7", boot="another", token="away")


def leave(folder: Path, who: holder.Holder, generation: int = 1, heartbeat: int = 0) -> None:
    path_of(folder, generation).write_bytes(written(heartbeat, who))


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Seconds are short."""
    monkeypatch.setattr(lease, "GLANCE", 0.01)
    monkeypatch.setattr(lease, "BEAT", 0.02)
    monkeypatch.setattr(holder, "STALE", 0.2)


def test_of_many_processes_one_takes_over_from_one_that_died(tmp_path) -> None:
    rounds = 40
    words = [sys.executable, "tests/lease_race.py", str(tmp_path), str(rounds), "5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [*(f"lease.{i}" for i in range(1, rounds + 1)), ""], done.stdout
    assert files(tmp_path) == [f"lease.{rounds}"], "of what died before nothing is left"


def test_a_folder_is_given_back_empty_and_held_until_then(tmp_path) -> None:
    with lease.take(tmp_path) as taken:
        assert files(tmp_path) == ["lease.1"]
        with pytest.raises(InUseError, match=rf"another process is training this run \(pid {os.getpid()} on "):
            lease.take(tmp_path)
        taken.check()
    assert files(tmp_path) == []


def test_who_takes_over_removes_what_was_left_and_gets_the_next_generation(tmp_path) -> None:
    for generation in (3, 4):
        leave(tmp_path, DEAD, generation)
    for name in (".lease.abc.tmp", ".checkpoint.pt.abc.tmp", "checkpoint.pt", ".mine"):
        (tmp_path / name).touch()
    with lease.take(tmp_path):
        assert files(tmp_path) == [".mine", "checkpoint.pt", "lease.5"]


@pytest.mark.parametrize("released", [False, True])
def test_a_holder_that_slept_while_another_took_over_says_who_it_was(tmp_path, released: bool) -> None:
    taken = lease.take(tmp_path)
    path_of(tmp_path, 1).unlink()
    if not released:
        leave(tmp_path, AWAY, generation=2)
    by = "" if released else rf" \(pid {os.getpid()} on node7\)"
    with pytest.raises(TakenOverError, match=f"^{tmp_path}: another process took this run over{by}; this one stops$"):
        taken.check()
    taken.release()
    assert files(tmp_path) == ([] if released else ["lease.2"]), "what is another's stays"


def test_the_first_generation_of_another_holder_is_not_ones_own(tmp_path) -> None:
    taken = lease.take(tmp_path)
    path_of(tmp_path, 1).unlink()
    leave(tmp_path, AWAY)
    with pytest.raises(TakenOverError):
        taken.check()
    taken.release()
    assert files(tmp_path) == ["lease.1"]


def test_an_answer_that_was_lost_is_no_defeat(tmp_path, monkeypatch) -> None:
    """As an NFS client has it: the link was made, the answer got lost, and asking again found it there."""
    link = os.link

    def twice(source, target) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    with lease.take(tmp_path) as taken:
        taken.check()


def test_the_heartbeat_moves_and_tells_that_the_folder_is_lost(tmp_path, hasty) -> None:
    with lease.take(tmp_path) as taken:
        first = held(tmp_path).heartbeat
        deadline = time.monotonic() + 10
        while held(tmp_path).heartbeat == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held(tmp_path).heartbeat > first
        assert not taken.lost
        leave(tmp_path, AWAY, generation=2)
        while not taken.lost and time.monotonic() < deadline:
            time.sleep(0.01)
        assert taken.lost


def test_a_holder_elsewhere_is_waited_for_until_its_heartbeat_moves(tmp_path, hasty, monkeypatch) -> None:
    leave(tmp_path, AWAY)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            leave(tmp_path, AWAY, heartbeat=1)

    monkeypatch.setattr(lease.time, "sleep", sleep)
    with pytest.raises(InUseError, match="on node7"):
        lease.take(tmp_path)
    assert len(looks) == 3


def test_a_holder_elsewhere_without_a_heartbeat_has_left(tmp_path, hasty) -> None:
    leave(tmp_path, AWAY)
    with lease.take(tmp_path):
        assert files(tmp_path) == ["lease.2"]


def test_what_a_process_left_that_died_after_its_record_is_cleared(tmp_path) -> None:
    (tmp_path / ".record.json.abc.tmp").touch()
    leave(tmp_path, DEAD)
    lease.clear(tmp_path, Watch())
    assert files(tmp_path) == []
    leave(tmp_path, AWAY)
    lease.clear(tmp_path, Watch())
    assert files(tmp_path) == ["lease.1"], "nobody knows"

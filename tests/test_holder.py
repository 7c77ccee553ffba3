"""Whether the holder of a run lives: by its process where that can be seen, by its heartbeat where not."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from freezeout import holder
from freezeout.holder import STALE, Watch, generations, held, myself, path_of, written

AWAY = dataclasses.replace(myself(), host="node7", boot="another", token="away")


def leave(folder, who, heartbeat: int = 0, generation: int = 1) -> None:
    path_of(folder, generation).write_bytes(written(heartbeat, who))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are seen in /proc")
def test_a_process_is_gone_once_it_has_ended_and_when_another_has_its_pid() -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert not myself().is_gone
    its = dataclasses.replace(myself(), pid=child.pid, began=holder._began(child.pid))
    assert its.is_near
    assert not its.is_gone
    assert dataclasses.replace(its, began="1").is_gone
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and its parent has not asked yet
    assert its.is_gone
    child.wait()
    assert its.is_gone


@pytest.mark.parametrize("changes", [{"boot": "x"}, {"namespace": "x"}, {"boot": None}, {"namespace": None}])
def test_of_a_process_elsewhere_nothing_is_known(changes, monkeypatch) -> None:
    if None in changes.values():  # neither side can say
        monkeypatch.setattr(holder, f"_{next(iter(changes))}", lambda: None)
    its = dataclasses.replace(myself(), began="1", **changes)
    assert not its.is_near
    assert not its.is_gone


def test_a_lease_reads_as_it_was_written_and_the_highest_generation_holds(tmp_path) -> None:
    assert held(tmp_path) is None
    assert held(tmp_path / "nowhere") is None
    for generation in (9, 10):
        leave(tmp_path, dataclasses.replace(AWAY, token=str(generation)), heartbeat=7, generation=generation)
    (tmp_path / "lease.txt").touch()
    assert generations(tmp_path) == [10, 9]
    found = held(tmp_path)
    assert (found.generation, found.heartbeat, found.holder.token) == (10, "000000000007", "10")
    assert str(found.holder) == f"pid {os.getpid()} on node7"


def test_a_heartbeat_is_stale_by_the_readers_own_clock(tmp_path) -> None:
    clock = SimpleNamespace(now=5000.0)
    watch = Watch(lambda: clock.now)

    def lives(after: float) -> bool:
        clock.now += after
        return watch.look(tmp_path)[1]

    leave(tmp_path, AWAY)
    os.utime(path_of(tmp_path, 1), (0, 0))  # what the other clock says is nothing to go by
    assert lives(0)
    assert lives(STALE - 1)
    leave(tmp_path, AWAY, heartbeat=1)
    assert lives(STALE - 1), "it has moved"
    assert lives(STALE - 1)
    assert not lives(2)
    leave(tmp_path, dataclasses.replace(AWAY, token="next"), heartbeat=1, generation=2)
    assert lives(0), "another holder, another heartbeat"


def test_a_file_server_that_does_not_answer_makes_nobody_stale(tmp_path, monkeypatch) -> None:
    leave(tmp_path, AWAY)
    clock, real = SimpleNamespace(now=0.0), holder.held

    def slow(folder):
        clock.now += 2 * STALE
        return real(folder)

    monkeypatch.setattr(holder, "held", slow)
    watch = Watch(lambda: clock.now)
    assert watch.look(tmp_path)[1]
    assert watch.look(tmp_path)[1]


def test_a_lease_that_cannot_be_read_is_somebodys(tmp_path) -> None:
    path_of(tmp_path, 1).write_text("000000000001\nanother version's words\n")
    found, lives = Watch().look(tmp_path)
    assert lives
    assert "unknown" in str(found.holder)

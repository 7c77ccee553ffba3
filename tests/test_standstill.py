"""A process that was stopped for a while knows for how long, and its seconds are then not its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from launched import environment

from freezeout.run.standstill import LATE, TICK, Standstill

CODE = """
import sys, time
from pathlib import Path
from freezeout.run import neighbours
neighbours.waits = lambda: {"1": 0.0}
with neighbours.Neighbours(neighbours.Place("b", None, [0]), Path(sys.argv[1])) as found:
    print("here", flush=True)
    sys.stdin.readline()
    print(found._standstill.seconds, found.shared)
"""


@pytest.mark.parametrize("stopped", [0.0, 4.0])
def test_a_process_that_was_stopped_has_not_had_its_device_to_itself(tmp_path, stopped: float) -> None:
    words = [sys.executable, "-c", CODE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment()}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout.readline() == "here\n"
        if stopped:
            process.send_signal(signal.SIGSTOP)
            time.sleep(stopped)
            process.send_signal(signal.SIGCONT)
        time.sleep(TICK + 0.5)
        seconds, shared = process.communicate("\n", timeout=60)[0].split()
    assert shared == str(bool(stopped))
    assert float(seconds) == pytest.approx(stopped, abs=TICK + LATE) if stopped else float(seconds) == 0.0


def test_the_share_is_of_the_time_that_was_watched(monkeypatch) -> None:
    watching = Standstill()
    watching.leave()
    watching.seconds = 3.0
    monkeypatch.setattr(time, "monotonic", lambda: watching._began + 60.0)
    assert watching.share == pytest.approx(0.05)

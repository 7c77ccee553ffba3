"""Ctrl-C and SIGTERM at any time: one line, the right exit code, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from launched import launch


@pytest.mark.parametrize("seconds", [0.3, 1.5, 3.0])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_at_any_time_gets_one_line(tmp_path, name: str, seconds: float) -> None:
    process = launch(tmp_path, "epochs=500")
    time.sleep(seconds)
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name], err
    assert "Traceback" not in err
    assert "the same command resumes" in err


EVALUATED = """
import sys, types
from freezeout import __main__, cli
command = types.ModuleType("freezeout.cli.command")
command.main = lambda: exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); [0 for _ in range(10**7)]")
sys.modules["freezeout.cli.command"] = cli.command = command
__main__.main()
"""


def test_a_signal_that_meets_python_evaluating_a_string_keeps_its_exit_code(tmp_path) -> None:
    """As dataclasses and named tuples do while they are imported: a plain KeyboardInterrupt there ends Python by -2."""
    (tmp_path / "probe.py").write_text(EVALUATED)
    words = [sys.executable, "-m", "probe"]  # the way of `python -m` is the one that dies
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert "the same command resumes" in done.stderr

"""Each file of examples/ runs as its first line says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_test_runs_each_example() -> None:
    here = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in here


@pytest.mark.slow
def test_the_plain_loop_takes_less_time_a_step_with_each_frozen_stage() -> None:
    out = run(str(EXAMPLES / "plain_loop.py"))
    assert "9 of 10 stages are frozen" in out
    milliseconds = [int(ms) for ms in re.findall(r"(\d+) ms", out)]
    assert milliseconds[-1] < milliseconds[0]


@pytest.mark.slow
def test_the_loop_beside_a_scheduler_resumes_exactly() -> None:
    out = run(str(EXAMPLES / "scheduler_loop.py"))
    assert "resumed: bitwise the run that was never stopped" in out
    frozen = re.findall(r"step (\d+): (\d) frozen, rate 0", out)
    assert frozen == 2 * [("10", "0"), ("20", "0"), ("30", "2"), ("40", "4")]


@pytest.mark.slow
def test_two_processes_send_less_and_less() -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(EXAMPLES / "ddp.py")]
    sent = [int(n) for n in re.findall(r"frozen, (\d+) bytes sent", run(*command))]
    assert len(sent) == 5
    assert sent == sorted(sent, reverse=True)
    assert sent[-1] < sent[0] / 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "module"),
    [("lightning_loop.py", "lightning"), ("huggingface_loop.py", "accelerate"), ("composer_loop.py", "composer")],
)
def test_the_loops_of_frameworks_freeze_and_resume_exactly(example: str, module: str) -> None:
    pytest.importorskip(module)
    out = run(str(EXAMPLES / example))
    assert len(re.findall(r"(\d) of \d stages are frozen after 24 steps", out)) == 2
    assert "resumed: bitwise the run that was never stopped" in out

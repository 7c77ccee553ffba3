"""A sweep that is killed at any moment, alone or beside another process, ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from kills import RUNS, WORDS, found, kill, left_over

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@pytest.fixture
def ends_as_undisturbed(freezeout):
    """Give the sweep once more, and compare what is there then with what it leaves undisturbed."""

    def ends(out: Path) -> None:
        said = freezeout(*WORDS, f"out={out}", quick=False)
        assert said.code == 0, said.err
        assert f"{RUNS} runs, " in said.err
        assert "not done yet" not in said.out
        whole = out.with_name("whole")
        assert freezeout(*WORDS, f"out={whole}", quick=False).code == 0
        assert found(out) == found(whole)
        assert len(found(whole)) == RUNS
        assert left_over(out) == []

    return ends


@pytest.mark.slow
def test_a_sweep_killed_three_times_ends_as_an_undisturbed_one(tmp_path, ends_as_undisturbed) -> None:
    """One kill with each signal; the last, which leaves no time to tidy up, of one of two processes."""
    seed = time.time_ns() % 10**6
    draw, out = random.Random(seed), tmp_path / "runs"
    for number in SIGNALS:
        print(f"seed {seed}:", kill(out, number, draw, sharing=number == signal.SIGKILL))
    ends_as_undisturbed(out)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("sharing", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_sweep_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path, ends_as_undisturbed, number, sharing
) -> None:
    seed = time.time_ns() % 10**6
    draw = random.Random(seed)
    for kills in range(4):
        out = tmp_path / (f"runs{kills}" if sharing else "runs")  # the other process brings it to its end
        print(f"seed {seed}:", kill(out, number, draw, sharing=sharing))
        if sharing:
            ends_as_undisturbed(out)
    ends_as_undisturbed(out)

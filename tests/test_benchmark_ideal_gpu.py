"""Kernels between markers are charged to their stage. No GPU here: a clock stands in for the profiler."""

from __future__ import annotations

import itertools
import time

import pytest
from made_benchmarks import plan, slow_second_stage

from benchmarks import ideal_gpu


@pytest.fixture
def clock_for_profiler(monkeypatch) -> None:
    """Pieces of seconds by the wall clock: what is tested is which piece belongs to which stage."""
    moments: list[float] = []

    def pieces(work, device):
        moments[:] = [time.perf_counter()]
        work()
        moments.append(time.perf_counter())
        return [b - a for a, b in itertools.pairwise(moments)]

    monkeypatch.setattr(ideal_gpu, "mark_kernels", lambda: moments.append(time.perf_counter()))
    monkeypatch.setattr(ideal_gpu, "kernel_pieces", pieces)
    monkeypatch.setattr(ideal_gpu, "Engine", slow_second_stage)


@pytest.mark.parametrize("burst", [2, 3])
def test_kernels_between_markers_are_charged_to_their_stage(clock_for_profiler, burst: int) -> None:
    profiled = ideal_gpu.ProfiledStages(plan(burst=burst))
    own = profiled.own_seconds()
    assert own[1] >= 0.02
    assert sum(own) - own[1] < own[1]
    assert len(profiled.input_seconds()) == len(own) == 5


def test_a_stage_that_no_hook_saw_is_an_error(clock_for_profiler, monkeypatch) -> None:
    monkeypatch.setattr(ideal_gpu, "mark_boundaries", lambda engine, mark: None)
    with pytest.raises(RuntimeError, match="0 markers in 3 steps of 5 stages"):
        ideal_gpu.ProfiledStages(plan()).own_seconds()

"""Whole runs: what they saved, summarised over rounds, and carried on to the paper's length."""

from __future__ import annotations

import pytest
import torch
from made_benchmarks import SMALL

from benchmarks import ideal_gpu, plans, savings
from freezeout.strategies import FreezeOut


def test_a_run_is_carried_on_to_100_epochs_by_its_steady_blocks() -> None:
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(3)  # at 0.5 and 0.75 of the steps
    per_step = [0.010, 0.006, 0.004]
    blocks = []
    for step in range(0, 400, 50):
        prefix = schedule.prefix(step, 400)
        first = not blocks or blocks[-1]["prefix"] != prefix
        seconds = 50 * per_step[prefix] + (0.7 if first else 0.0)  # what the switch and the capture took
        blocks.append({"prefix": prefix, "step_from": step, "step_to": step + 50, "seconds": seconds})
    run = savings.extrapolated(blocks, schedule, 100_000)
    assert run.switches == pytest.approx(3 * 0.7)
    assert run.total == pytest.approx(2.1 + 50_000 * 0.010 + 25_000 * 0.006 + 25_000 * 0.004)


def test_savings_are_relative_to_the_baseline_of_the_same_round(monkeypatch) -> None:
    # The machine is ten times slower in the second round.
    totals = iter([(10.0, 8.0, 9.0), (100.0, 70.0, 80.0)])

    def made(plan, burst):
        return {n: savings.RunSeconds(t, 0.1 * t) for n, t in zip(savings.STRATEGIES, next(totals), strict=True)}

    monkeypatch.setattr(savings, "whole_runs", made)
    measured = savings.Savings(SMALL, "wrn_10_1")
    measured.round()
    measured.round()
    found = measured.summary()
    assert found["arm"] == "eager"
    assert set(found["strategies"]) == {"cubic scaled 0.8", "linear unscaled 0.5"}
    cubic = found["strategies"]["cubic scaled 0.8"]
    assert (cubic["realised"]["min"], cubic["realised"]["max"]) == pytest.approx((0.2, 0.3))
    assert cubic["switches"]["median"] == pytest.approx(0.1)
    assert cubic["of_ideal"] == cubic["realised"]["median"] / cubic["ideal"]
    assert 0 < cubic["ideal"] <= cubic["ideal_with_input"] < 1
    assert len(found["profile"]["seconds"]) == len(found["own_shares"]) == len(found["input_shares"]) == 5


@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")  # there is no CUDA to profile
def test_a_profiler_that_sees_no_kernels_is_found_out_before_the_whole_runs(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: None)
    measured = savings.Savings(SMALL, "wrn_10_1")
    measured._stages = ideal_gpu.ProfiledStages(measured._plan)
    monkeypatch.setattr(savings, "whole_runs", lambda *_: pytest.fail("trained"))
    with pytest.raises(RuntimeError, match="sees no kernels here"):
        measured.round()


def test_whole_runs_train_all_steps_side_by_side(monkeypatch) -> None:
    trained: list[int] = []
    advance = savings.advance

    def counted(training, steps):
        before = training.step
        seconds = advance(training, steps)
        trained.append(training.step - before)
        return seconds

    monkeypatch.setattr(savings, "advance", counted)
    found = savings.whole_runs(plans.plan_of(SMALL, "wrn_10_1", epoch=10, steps=20), 5)
    assert list(found) == list(savings.STRATEGIES)
    assert trained == [5] * (3 * 20 // 5)
    assert all(run.total > run.switches >= 0 for run in found.values())
    assert found["baseline"].switches == 0

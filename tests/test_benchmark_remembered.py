"""Whole runs without a cache and with one: the same steps, what they saved, and what was kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from made_benchmarks import SMALL

from benchmarks import remembered
from benchmarks.settings import GPU
from freezeout.run.plan import with_machine
from freezeout.train import room


@pytest.fixture
def ended(monkeypatch) -> dict:
    """The trainings of the round, at their ends."""
    found: dict = {}
    real = remembered.side_by_side

    def side_by_side(runs, burst):
        found.update(runs, burst=burst)
        return real(runs, burst)

    monkeypatch.setattr(remembered, "side_by_side", side_by_side)
    return found


def test_runs_take_the_same_steps_with_and_without_a_cache(monkeypatch, ended) -> None:
    monkeypatch.setattr(room.Room, "_rates", lambda self, kind: (0.0, 0.0))  # tiny images: reading never pays here
    measured = remembered.Remembered(SMALL, "wrn_10_1")
    measured.round()
    baseline, without, cached = (ended[name] for name in ("baseline", "2 views", "2 views, cached"))
    assert baseline.step == without.step == cached.step == 24
    assert ended["burst"] == 2, "an epoch at a time: one that is left forgets what its view had"
    assert (baseline.cache, without.cache, baseline.views) == (None, None, None)
    assert cached.cache.counts.hits == 3 * 8, "the last three of five epochs come back to a view"
    for a, b in zip(without.chain.state_dict().values(), cached.chain.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    found = measured.summary()
    assert found["hit_rate"] == 3 / 5
    assert found["bytes"]["device"] > 0
    assert 0 < found["cache_share"]["median"] < 1
    runs = found["runs"]
    assert runs["2 views, cached"]["profiled"] > runs["2 views"]["profiled"]
    assert found["of_profiled"] == runs["2 views, cached"]["realised"]["median"] / runs["2 views, cached"]["profiled"]


def test_savings_and_ratios_are_of_the_same_round(monkeypatch) -> None:
    """The machine is ten times slower in the second round."""
    seconds = iter([(10.0, 8.0, 7.2), (100.0, 80.0, 68.0)])
    real = remembered.side_by_side

    def side_by_side(runs, burst):
        real(runs, burst)
        return dict(zip(runs, next(seconds), strict=True))

    monkeypatch.setattr(remembered, "side_by_side", side_by_side)
    measured = remembered.Remembered(SMALL, "wrn_10_1")
    measured.round()
    measured.round()
    found = measured.summary()
    assert (found["run_ratio"]["min"], found["run_ratio"]["max"]) == pytest.approx((0.85, 0.9))
    realised = found["runs"]["2 views, cached"]["realised"]
    assert (realised["min"], realised["max"]) == pytest.approx((0.28, 0.32))


def test_on_a_gpu_they_have_the_papers_size(monkeypatch) -> None:
    """Planned on a CPU, which stands in for the device."""
    real = remembered.plan_of

    def plan_of(settings, network, **how):
        here = dataclasses.replace(settings, device="cpu", precision="fp32")
        plan = with_machine(real(here, network, **how), device="cuda")
        return dataclasses.replace(plan, device=torch.device("cuda"))

    monkeypatch.setattr(remembered, "plan_of", plan_of)
    made = remembered.Remembered(GPU, *GPU.cached)
    cached = made._plans["4 views, cached"]
    assert cached.config_dict["model"]["name"] == "wide_resnet"
    assert (cached.outline.sizes["train"], cached.config.batch_size, cached.steps) == (50_000, 50, 24_000)
    assert cached.config.machine.capture is True
    assert cached.remember is not None
    assert (cached.remember.count, cached.remember.first_epoch) == (4, 13)

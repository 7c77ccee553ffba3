"""How long a sweep should take, said before it starts: each network is timed once, and no run is changed by it."""

from __future__ import annotations

import json

import pytest
import torch

from freezeout.cli import forecast, sweeper
from freezeout.cli.forecast import Rates
from freezeout.run import expected, identity, profiling
from freezeout.run.overrides import compose_all
from freezeout.run.plan import Plan
from freezeout.run.resolve import make_plan
from freezeout.savings import cost
from freezeout.savings import profile as profiles
from freezeout.savings.profile import Profile

WORDS = ["machine=cpu", "machine.threads=1", "tracker=none"]


def plan(*words: str) -> Plan:
    (config,) = compose_all([*WORDS, *words])
    return make_plan(config)


@pytest.fixture
def timed(monkeypatch) -> list[Plan]:
    """Every step takes 0.1 s; the plans that were timed."""
    seen: list[Plan] = []

    def time_prefixes(plan: Plan, steps: int, *, prefixes: tuple[int, ...]) -> Profile:
        assert (steps, prefixes) == (forecast.STEPS, (0,))
        seen.append(plan)
        return Profile([0.1])

    monkeypatch.setattr(profiling, "time_prefixes", time_prefixes)
    return seen


def test_a_run_costs_its_steps_by_flops_and_its_evaluations() -> None:
    baseline, frozen = plan("strategy=baseline", "epochs=10"), plan("t_0=0.5", "epochs=10")
    forward = sum(c.forward for c in baseline.costs) / cost.step_cost(baseline.costs, 0)
    images = 10 * 360 + 360 + 1437  # of each epoch, and of the end: test and training set
    assert forecast.steps_of(baseline) == pytest.approx(280 + forward * images / 50)
    saved = expected.saving(frozen, frozen.full_steps)["predicted"] * 280
    assert forecast.steps_of(frozen) == pytest.approx(forecast.steps_of(baseline) - saved)
    short = plan("strategy=shortened", "strategy.budget=0.5", "epochs=10")
    assert forecast.steps_of(short) == pytest.approx(140 + forward * (5 * 360 + 360 + 1437) / 50)
    longer = plan("strategy=shortened", "strategy.budget=1.1", "epochs=10")
    assert forecast.steps_of(longer) == pytest.approx(308 + forward * (11 * 360 + 360 + 1437) / 50)


def test_each_network_is_timed_once_whatever_strategy_t_0_and_seed(timed, tmp_path, two_gpus) -> None:
    out = f"out={tmp_path}"
    plans = [plan(out, f"t_0={t}", f"seed={s}", "epochs=20") for t in (0.3, 0.8) for s in (0, 1)]
    plans.append(plan(out, "strategy=baseline", "epochs=20"))
    plans.append(plan(out, "strategy=baseline", "epochs=20", "model=densenet_bc_16_4"))
    said = forecast.forecast(plans, Rates())
    assert len(timed) == 2
    minutes = sum(0.1 * forecast.steps_of(p) for p in plans) / 60
    assert said == f"about {minutes:.1f} min for 6 runs, one after another (from 5 timed steps of each network)"


def test_a_stored_profile_is_taken_instead(timed, tmp_path) -> None:
    known = plan(f"out={tmp_path}", "strategy=baseline", "epochs=20")
    profiles.write(identity.profile_path(known), Profile([0.01] * known.stages))
    assert forecast.forecast([known], Rates()).startswith(f"about {0.01 * forecast.steps_of(known):.0f} s for 1 run, ")
    assert timed == []


def test_runs_of_seconds_are_not_forecast(timed) -> None:
    assert forecast.forecast([plan("epochs=1")], Rates()) is None
    assert timed == []


def test_of_a_run_that_goes_on_what_is_left_is_counted(timed, tmp_path) -> None:
    whole, half = (plan(f"out={tmp_path}", f"seed={seed}", "epochs=20") for seed in (0, 1))
    seconds = 0.1 * (forecast.steps_of(whole) + forecast.steps_of(half, 420))
    assert forecast.forecast([whole, half], Rates(), [0, 420]).startswith(f"about {forecast.duration(seconds)} for 2 ")
    assert forecast.duration(seconds) != forecast.duration(0.1 * 2 * forecast.steps_of(whole))
    assert forecast.forecast([half], Rates(), [half.steps - 5]) is None, "all but done"


def test_a_sweep_tells_its_forecast_what_lies_behind_its_runs(freezeout, monkeypatch) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(forecast, "forecast", lambda plans, rates, done: asked.append(done))
    words = ["-m", "seed=0,1", "strategy=baseline", "epochs=2", "sweep=mine"]
    monkeypatch.setattr(sweeper, "steps_done", lambda job: 28 * (1 - job.config.seed))
    freezeout(*words)
    assert sorted(asked[0]) == [0, 28]


def test_a_network_that_does_not_fit_is_left_to_its_run_to_report(monkeypatch) -> None:
    def time_prefixes(*_, **how) -> Profile:
        raise torch.OutOfMemoryError("out of memory\nmany details")

    monkeypatch.setattr(profiling, "time_prefixes", time_prefixes)
    assert forecast.forecast([plan("epochs=20")], Rates()) == "no forecast: out of memory"


def test_torchs_random_state_and_threads_are_left_as_they_were(monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))  # where there is one core, two would be refused
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert forecast.forecast([plan("epochs=20", f"machine.threads={threads + 1}")], Rates()).startswith("about ")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_sweep_says_its_forecast_first_and_gives_the_results_of_one_without(freezeout, monkeypatch, tmp_path) -> None:
    words = ["-m", "t_0=0.5,0.8", "epochs=2", "sweep=mine"]

    def results(out: str) -> list[tuple]:
        found = sorted((tmp_path / out).glob("*/0/record.json"))
        return [(p.parts[-3], [e["train_loss"] for e in json.loads(p.read_text())["epochs"]]) for p in found]

    silent = freezeout(*words, "out=without")
    assert "about" not in silent.err.split("[1/2]")[0]
    monkeypatch.setattr(forecast, "WORTH", 1)
    said = freezeout(*words, "out=with")
    assert "s for 2 runs, one after another" in said.err.split("[1/2]")[0]
    assert results("with") == results("without") != []


@pytest.mark.parametrize(("seconds", "words"), [(40.2, "40 s"), (252, "4.2 min"), (27_000, "7.5 h")])
def test_a_duration_is_read_at_a_glance(seconds: float, words: str) -> None:
    assert forecast.duration(seconds) == words

"""What a step costs at each prefix, what a schedule saves, and the paper's own estimate."""

import json
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezeout.savings.cost import StageCost, estimated_saving, predicted_saving, run_cost, step_cost
from freezeout.schedule import POWERS
from freezeout.strategies import STRATEGIES, Baseline, FreezeOnly, FreezeOut, LrOnly, Shortened

GOLDEN = json.loads((Path(__file__).parent / "golden" / "speedup_estimates.json").read_text())
amounts = st.integers(0, 1000)
stage = st.builds(StageCost, forward=st.integers(1, 1000), backward_own=amounts, backward_input=amounts)
chains = st.lists(stage, min_size=1, max_size=12)

THREE = [StageCost(1, 10, 0), StageCost(2, 20, 200), StageCost(3, 30, 300)]


def test_a_step_pays_all_forwards_and_the_backwards_of_the_active_stages():
    assert step_cost(THREE, 0) == 6 + (10 + 20 + 30) + (200 + 300)
    assert step_cost(THREE, 1) == 6 + (20 + 30) + 300
    assert step_cost(THREE, 2) == 6 + 30
    assert step_cost(THREE, 3) == 6


@given(chains)
def test_freezing_a_stage_saves_its_own_backward_and_what_the_next_handed_on(costs):
    for k, cost in enumerate(costs):
        handed_on = costs[k + 1].backward_input if k + 1 < len(costs) else 0
        assert step_cost(costs, k) - step_cost(costs, k + 1) == cost.backward_own + handed_on


@given(chains, amounts)
def test_stage_0_never_pays_for_the_gradient_of_the_images(costs, amount):
    first = costs[0]
    other = [StageCost(first.forward, first.backward_own, first.backward_input + amount), *costs[1:]]
    assert [step_cost(other, k) for k in range(len(costs) + 1)] == [step_cost(costs, k) for k in range(len(costs) + 1)]


@pytest.mark.parametrize("prefix", [-1, 4])
def test_a_prefix_that_the_chain_does_not_have_is_refused(prefix):
    with pytest.raises(ValueError, match=f"prefix={prefix}: must lie in 0 to 3"):
        step_cost(THREE, prefix)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@given(costs=chains, total=st.integers(1, 200), done=st.integers(0, 200))
def test_a_run_costs_the_sum_of_its_steps_under_every_strategy(strategy, costs, total, done):
    known = {"t_0": 0.3, "epochs": 10}
    schedule = strategy(**{f.name: known[f.name] for f in fields(strategy) if f.name in known}).schedule(len(costs))
    steps = sum(step_cost(costs, schedule.prefix(s, total)) for s in range(total))
    assert run_cost(costs, schedule, total) == steps
    rest = sum(step_cost(costs, schedule.prefix(s, total)) for s in range(done, total))
    assert run_cost(costs, schedule, total, done) == rest
    assert predicted_saving(costs, schedule, total) == pytest.approx(1 - steps / (total * step_cost(costs, 0)))
    assert 0 <= predicted_saving(costs, schedule, total) < 1


def test_a_schedule_for_another_number_of_stages_is_refused():
    with pytest.raises(ValueError, match="3 stage costs and a schedule for 4 stages"):
        run_cost(THREE, Baseline().schedule(4), 10)


@given(chains, st.integers(1, 200))
def test_a_run_that_freezes_nothing_saves_exactly_nothing(costs, total):
    n = len(costs)
    for schedule in (Baseline().schedule(n), LrOnly(t_0=0.3).schedule(n), FreezeOut(t_0=1.0).schedule(n)):
        assert predicted_saving(costs, schedule, total) == 0.0


@given(chains)
def test_a_shortened_run_saves_what_it_leaves_out(costs):
    schedule = Shortened(budget=0.75).schedule(len(costs))
    assert predicted_saving(costs, schedule, 75, baseline_steps=100) == pytest.approx(0.25)


@given(chains)
def test_a_run_of_more_steps_than_its_baseline_can_cost_more(costs):
    assert predicted_saving(costs, Baseline().schedule(len(costs)), 150, baseline_steps=100) == pytest.approx(-0.5)


@given(chains, st.sampled_from(sorted(POWERS)))
def test_freezing_earlier_never_saves_less(costs, how):
    times = (0.1, 0.3, 0.5, 0.8, 1.0)
    savings = [predicted_saving(costs, FreezeOut(t_0=t, how_scale=how).schedule(len(costs)), 500) for t in times]
    assert all(a >= b for a, b in pairwise(savings))


def test_the_saving_comes_from_the_freeze_times_and_not_from_the_rates():
    both, times_only = FreezeOut(t_0=0.5).schedule(3), FreezeOnly(t_0=0.5).schedule(3)
    assert predicted_saving(THREE, both, 1000) == predicted_saving(THREE, times_only, 1000) > 0


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: "-".join(str(v) for v in list(e.values())[:4]))
def test_the_estimate_equals_that_of_the_original_code(entry):
    estimate = estimated_saving(entry["growth_rate"], entry["blocks_per_stage"], entry["t_0"], entry["how_scale"])
    assert estimate == pytest.approx(entry["speedup"], rel=0, abs=1e-12)


def test_the_golden_estimates_cover_every_way_of_scaling():
    assert {e["how_scale"] for e in GOLDEN} == set(POWERS)
    assert len(GOLDEN) == 48


def test_an_odd_number_of_layers_rounds_the_width_down_as_the_original_does():
    """By hand, growth 1, one layer a block, linear, t_0 = 1/2: widths 2, then 3 // 2 = 1, then 2 // 2 = 1."""
    costs = [54 * 1024, 44 * 1024, 40 * 256, 40 * 64]
    times = [0.5, 0.625, 0.75, 0.875]
    trained = sum(c * t for c, t in zip(costs, times, strict=True)) / sum(costs)
    assert estimated_saving(1, 1, 0.5, "linear") == pytest.approx(1.3 * 0.5 * (1 - trained), abs=1e-15)


@given(st.integers(1, 48), st.integers(1, 30), st.floats(1e-3, 1.0), st.sampled_from(["squared", "cubic"]))
def test_the_estimate_never_reaches_one_half_because_forward_is_half_of_it(growth, layers, t_0, how):
    assert 0 <= estimated_saving(growth, layers, t_0, how) < 0.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((12, 12, 0.5, "quartic"), "how_scale=quartic: must be one of linear, squared, cubic"),
        ((12, 12, 0.0, "cubic"), "t_0=0.0: must lie"),
        ((12, 12, float("nan"), "cubic"), "t_0=nan: must lie"),
        ((0, 12, 0.5, "cubic"), "growth=0"),
        ((12, 0, 0.5, "cubic"), "layers_per_block=0"),
    ],
)
def test_an_estimate_of_what_cannot_be_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        estimated_saving(*arguments)

"""Every registered strategy: its schedule is valid, and says what the strategy's name says."""

import math
import re
from dataclasses import fields
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezeout.schedule import POWERS, Schedule, cost_depths, freeze_times
from freezeout.strategies import (
    STRATEGIES,
    Baseline,
    FreezeOnly,
    FreezeOut,
    Geometric,
    LayerFreezing,
    LrOnly,
    Shortened,
)
from freezeout.strategy import NORMS

shares = st.floats(1e-3, 1.0)
below_one = st.floats(0.0, 0.99)
# What each field may be. A field that is not listed keeps its default; one without a default must be listed.
VALUES = {
    "t_0": shares,
    "how_scale": st.sampled_from(sorted(POWERS)),
    "scale_lr": st.booleans(),
    "bn": st.sampled_from(NORMS),
    "budget": st.floats(1e-3, 2.0),
    "epochs": st.integers(1, 40),
    "freeze_start": below_one,
    "freeze_level": st.floats(0.0, 1.0),
    "start": below_one,
    "share": st.floats(1e-3, 0.99),
    "intervals": st.integers(2, 40),
    "percentile": st.floats(0.1, 100.0),
    "threshold": st.floats(1e-6, 10.0),
}
registered = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
stages = st.integers(1, 60)
HOW = sorted(POWERS)


def draw_one(data, strategy):
    """One strategy of the class with fields drawn from VALUES."""
    return strategy(**{f.name: data.draw(VALUES[f.name], f.name) for f in fields(strategy) if f.name in VALUES})


@registered
@given(data=st.data(), n=stages)
def test_every_strategy_gives_any_number_of_stages_a_valid_schedule(strategy, data, n):
    schedule = draw_one(data, strategy).schedule(n)
    assert isinstance(schedule, Schedule)  # its own checks: times never decrease and end at exactly 1
    assert len(schedule.freeze) == n
    for times in (schedule.freeze, schedule.anneal):
        assert all(0 <= t <= 1 for t in times)
        assert times[-1] == 1.0


@registered
@pytest.mark.parametrize("n", range(1, 61))
def test_every_strategy_at_a_usual_setting_is_valid_for_1_to_60_stages(strategy, n):
    known = {"t_0": 0.5, "epochs": 20}
    schedule = strategy(**{f.name: known[f.name] for f in fields(strategy) if f.name in known}).schedule(n)
    assert len(schedule.freeze) == n
    assert all(math.isfinite(f) and f >= 0 for s in range(0, 200, 7) for f in schedule.factors(s, 200))


@registered
@given(data=st.data())
def test_the_rate_is_never_0_before_the_stage_is_frozen(strategy, data):
    """Except in the control that anneals without freezing, a rate of 0 means frozen."""
    if strategy is LrOnly:
        return
    schedule = draw_one(data, strategy).schedule(data.draw(st.integers(1, 12)))
    total = data.draw(st.integers(1, 120))
    for s in range(total):
        prefix = schedule.prefix(s, total)
        assert all(factor > 0 for factor in schedule.factors(s, total)[prefix:])


@given(st.integers(1, 40), shares, st.sampled_from(HOW), st.booleans(), st.integers(1, 120))
def test_with_freezeout_the_rate_is_0_if_and_only_if_the_stage_is_frozen(n, t_0, how, scale_lr, total):
    schedule = FreezeOut(t_0=t_0, how_scale=how, scale_lr=scale_lr).schedule(n)
    for s in range(total):
        prefix = schedule.prefix(s, total)
        assert [factor == 0 for factor in schedule.factors(s, total)] == [i < prefix for i in range(n)]


@given(stages, st.sampled_from(HOW), st.integers(1, 120))
def test_freezeout_with_t_0_of_1_unscaled_is_exactly_the_baseline(n, how, total):
    freezeout = FreezeOut(t_0=1.0, how_scale=how, scale_lr=False).schedule(n)
    baseline = Baseline().schedule(n)
    assert freezeout == baseline
    assert all(freezeout.factors(s, total) == baseline.factors(s, total) for s in range(total))


def test_cubic_t_0_of_08_freezes_stage_0_at_0512_and_its_scaled_rate_starts_at_its_inverse():
    schedule = FreezeOut(t_0=0.8, how_scale="cubic", scale_lr=True).schedule(40)
    assert schedule.freeze_steps(1000)[0] == 512
    assert schedule.factors(0, 1000)[0] == pytest.approx(1 / 0.512)
    assert schedule.factors(0, 1000)[-1] == 1.0


@given(stages, shares, st.sampled_from(HOW))
def test_each_control_keeps_one_half_of_freezeout(n, t_0, how):
    both = FreezeOut(t_0=t_0, how_scale=how, scale_lr=True).schedule(n)
    baseline = Baseline().schedule(n)
    rates = LrOnly(t_0=t_0, how_scale=how, scale_lr=True).schedule(n)
    assert (rates.anneal, rates.scaled, rates.freeze) == (both.anneal, both.scaled, baseline.freeze)
    freezing = FreezeOnly(t_0=t_0, how_scale=how).schedule(n)
    assert (freezing.freeze, freezing.anneal, freezing.scaled) == (both.freeze, baseline.anneal, baseline.scaled)


def test_a_budget_is_the_share_of_the_steps_and_may_exceed_them():
    assert [Shortened(budget=b).steps(280, None) for b in (0.5, 1.0, 1.1, 2.0)] == [140, 280, 308, 560]


@given(stages, st.floats(1e-3, 2.0))
def test_a_shortened_run_has_the_whole_schedule_of_the_baseline(n, budget):
    assert Shortened(budget=budget).schedule(n) == Baseline().schedule(n)


def composers_depth(elapsed, start, level, n):
    """Layers that Composer 0.32 has frozen after `elapsed` of the training: its arithmetic, term by term."""
    if elapsed <= start:
        return 0
    return int(level * ((elapsed - start) / (1.0 - start)) * (n - 1))


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("start", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
def test_layer_freezing_freezes_composers_number_of_stages_at_every_step(start, level):
    for n in (1, 2, 11, 20, 40, 60):
        for epochs in (1, 3, 10, 30):
            schedule = LayerFreezing(epochs=epochs, freeze_start=start, freeze_level=level).schedule(n)
            for step in range(4 * epochs):
                assert schedule.prefix(step, 4 * epochs) == composers_depth(step // 4 / epochs, start, level, n)


def test_layer_freezing_moves_linearly_from_its_start_to_its_level():
    schedule = LayerFreezing(epochs=8, freeze_start=0.5, freeze_level=0.5).schedule(41)
    assert [schedule.prefix(e, 8) for e in range(8)] == [0, 0, 0, 0, 0, 5, 10, 15]


@given(st.integers(1, 40), st.integers(0, 19), st.integers(1, 19), st.integers(1, 20))
def test_geometric_freezes_the_same_share_of_what_is_left_every_epoch(n, start, share, epochs):
    """In exact fractions of 20ths: k epochs after the start, 1 - (1 - share)^k of the stages but the head.

    Rounded down, unless less than a billionth of a stage is left.
    """
    schedule = Geometric(epochs=epochs, start=start / 20, share=share / 20).schedule(n)
    left = Fraction(n - 1)
    for e in range(epochs):
        if Fraction(e, epochs) >= Fraction(start, 20):
            left *= 1 - Fraction(share, 20)
        assert schedule.prefix(e, epochs) == math.floor(n - 1 - left + Fraction(1, 10**9))


def test_a_tenth_of_ten_stages_is_one_stage():
    schedule = Geometric(epochs=4, start=0.5, share=0.1).schedule(11)
    assert [schedule.prefix(e, 4) for e in range(4)] == [0, 0, 1, 1]


def test_geometric_starts_in_the_epoch_that_begins_at_its_start():
    """0.55 * 100 is 55.00000000000001 in floats, and still epoch 55 of 100 begins at t = 0.55."""
    schedule = Geometric(epochs=100, start=0.55, share=0.5).schedule(3)
    assert [schedule.prefix(e, 100) for e in (54, 55)] == [0, 1]


@pytest.mark.parametrize("strategy", [LayerFreezing, Geometric])
@given(n=stages, epochs=st.integers(1, 30), steps=st.integers(1, 50))
def test_strategies_of_epochs_freeze_only_where_an_epoch_begins(strategy, n, epochs, steps):
    freeze_steps = strategy(epochs=epochs).schedule(n).freeze_steps(epochs * steps)
    assert all(step is None or step % steps == 0 for step in freeze_steps)


@pytest.mark.parametrize(
    ("strategy", "bad", "named"),
    [
        (FreezeOut, {"t_0": math.nan}, "t_0=nan: must lie in (0, 1]"),
        (FreezeOut, {"t_0": 0.0}, "t_0=0.0: must lie in (0, 1]"),
        (FreezeOut, {"t_0": "0.5"}, "t_0='0.5': must be a number"),
        (FreezeOut, {"t_0": 0.5, "scale_lr": "no"}, "strategy.scale_lr=no: must be true or false"),
        (LrOnly, {"t_0": 0.5, "scale_lr": 1}, "strategy.scale_lr=1: must be true or false"),
        (FreezeOut, {"t_0": 0.5, "how_scale": "quartic"}, "strategy.how_scale=quartic: must be one of linear, squared"),
        (FreezeOut, {"t_0": 0.5, "bn": "off"}, "strategy.bn=off: must be one of eval, train, reestimate"),
        (LrOnly, {"t_0": 2.0}, "t_0=2.0: must lie in (0, 1]"),
        (LrOnly, {"t_0": 0.5, "how_scale": "quartic"}, "strategy.how_scale=quartic"),
        (FreezeOut, {"t_0": 0.5, "depth": "price"}, "strategy.depth=price: must be one of index, cost"),
        (FreezeOut, {"t_0": 0.5, "depth": [1, -1]}, "strategy.depth=[1, -1]: must be index, cost or a list of numbers"),
        (LrOnly, {"t_0": 0.5, "depth": [math.nan]}, "strategy.depth=[nan]: must be index, cost or a list of numbers"),
        (FreezeOnly, {"t_0": 0.5, "depth": 3}, "strategy.depth=3: must be index, cost or a list of numbers"),
        (FreezeOnly, {"t_0": -1.0}, "t_0=-1.0: must lie in (0, 1]"),
        (FreezeOnly, {"t_0": 0.5, "bn": "off"}, "strategy.bn=off"),
        (Shortened, {"budget": 0.0}, "strategy.budget=0.0: must lie in (0, 2]"),
        (Shortened, {"budget": "0.5"}, "strategy.budget='0.5': must be a number"),
        (Shortened, {"budget": 2.1}, "strategy.budget=2.1: must lie in (0, 2]"),
        (Shortened, {"budget": math.nan}, "strategy.budget=nan: must lie in (0, 2]"),
        (LayerFreezing, {"epochs": 5, "freeze_start": 1.0}, "strategy.freeze_start=1.0: must lie in [0, 1)"),
        (LayerFreezing, {"epochs": 5, "freeze_level": 1.1}, "strategy.freeze_level=1.1: must lie in [0, 1]"),
        (Geometric, {"epochs": 5, "start": 1.0}, "strategy.start=1.0: must lie in [0, 1)"),
        (Geometric, {"epochs": 5, "share": 0.0}, "strategy.share=0.0: must lie in (0, 1)"),
    ],
)
def test_a_value_outside_its_range_is_refused_in_one_line(strategy, bad, named):
    with pytest.raises(ValueError, match="must") as refusal:
        strategy(**bad)
    assert str(refusal.value).startswith(named)
    assert "\n" not in str(refusal.value)


def test_freezeout_of_the_paper_uses_the_papers_freeze_times():
    schedule = FreezeOut(t_0=0.5, how_scale="squared", scale_lr=False).schedule(20)
    assert schedule.freeze == schedule.anneal == freeze_times(20, 0.5, 2)


costs = st.lists(st.integers(0, 10**12), min_size=2, max_size=40).filter(lambda found: sum(found[:-1]) > 0)
OF_DEPTH = pytest.mark.parametrize("strategy", [FreezeOut, LrOnly, FreezeOnly])


@OF_DEPTH
@given(n=st.integers(2, 40), t_0=shares, how=st.sampled_from(HOW), cost=st.integers(1, 10**12))
def test_stages_of_equal_cost_lie_as_deep_as_their_index(strategy, n, t_0, how, cost):
    by_cost = strategy(t_0=t_0, how_scale=how, depth=[cost] * n).schedule(n)
    by_index = strategy(t_0=t_0, how_scale=how).schedule(n)
    assert by_cost.freeze == pytest.approx(by_index.freeze, abs=1e-14)
    assert by_cost.anneal == pytest.approx(by_index.anneal, abs=1e-14)


@given(costs=costs, t_0=shares)
def test_by_cost_equal_cost_freezes_in_equal_times(costs, t_0):
    """Of the linear schedule: stage i freezes when the share (t_i - t_0) / (1 - t_0) of the cost lies before it."""
    times = FreezeOut(t_0=t_0, how_scale="linear", depth=costs).schedule(len(costs)).freeze
    whole = sum(costs[:-1])
    for i, t in enumerate(times):
        assert t == pytest.approx(t_0 + (1 - t_0) * sum(costs[:i]) / whole, abs=1e-12)


def test_a_dear_first_stage_puts_off_those_behind_it_and_the_heads_cost_does_not_count():
    assert cost_depths([6, 1, 1, 0, 99]) == (0.0, 0.75, 0.875, 1.0, 1.0)
    assert FreezeOut(t_0=0.5, how_scale="linear", depth=[6, 2, 1]).schedule(3).freeze == (0.5, 0.875, 1.0)
    assert FreezeOnly(t_0=0.5, how_scale="linear", depth=[6, 2, 1]).schedule(3).freeze == (0.5, 0.875, 1.0)
    assert LrOnly(t_0=0.5, how_scale="linear", depth=[6, 2, 1]).schedule(3).anneal == (0.5, 0.875, 1.0)


@OF_DEPTH
def test_a_depth_by_cost_takes_the_costs_of_the_network_and_leaves_numbers_and_indices_alone(strategy):
    assert strategy(t_0=0.5, depth="cost").placed([6, 2, 1]).depth == [6, 2, 1]
    assert strategy(t_0=0.5, depth=[1, 2, 3]).placed([6, 2, 1]).depth == [1, 2, 3]
    assert strategy(t_0=0.5).placed(None) == strategy(t_0=0.5)
    with pytest.raises(ValueError, match=r"^strategy\.depth=cost: this network's stages cannot be costed"):
        strategy(t_0=0.5, depth="cost").placed(None)


def test_the_papers_estimate_is_about_depths_by_index():
    assert FreezeOut(t_0=0.5).power_law() == FreezeOnly(t_0=0.5).power_law() == (0.5, "cubic")
    assert FreezeOut(t_0=0.5, depth="cost").power_law() is FreezeOnly(t_0=0.5, depth="cost").power_law() is None


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        ("cost", "strategy.depth=cost: the stage costs are not known here; give a list of numbers"),
        ([1, 2], "strategy.depth=[1, 2]: 2 costs for 3 stages; give one each"),
        ([0, 0, 1], "the stages before the head cost nothing"),
    ],
)
def test_depths_that_give_no_times_are_refused_in_one_line(depth, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        FreezeOut(t_0=0.5, depth=depth).schedule(3)

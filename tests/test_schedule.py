"""The arithmetic of t: freeze times, rates, prefixes, segments."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezeout.schedule import POWERS, Schedule, first_step, freeze_times, frozen_prefix, lr_factor, progress

stages = st.integers(1, 60)
shares = st.floats(1e-3, 1.0)
powers = st.sampled_from(sorted(POWERS.values()))
totals = st.integers(1, 300)


@st.composite
def schedules(draw):
    """Any schedule that is allowed: freeze times that never decrease and end at 1, any annealing times."""
    n = draw(st.integers(1, 12))
    times = st.lists(st.floats(0.0, 1.0), min_size=n - 1, max_size=n - 1)
    return Schedule((*sorted(draw(times)), 1.0), (*draw(times), 1.0), draw(st.booleans()))


@given(stages, shares, powers)
def test_freeze_times_never_decrease_and_end_at_exactly_1(n, t_0, power):
    times = freeze_times(n, t_0, power)
    assert len(times) == n
    assert all(a <= b for a, b in pairwise(times))
    assert times[-1] == 1.0
    assert times[0] > 0


@given(st.integers(2, 60), shares, powers)
def test_stage_0_freezes_at_t_0_raised_to_the_power(n, t_0, power):
    assert freeze_times(n, t_0, power)[0] == pytest.approx(t_0**power, rel=1e-14)


def test_t_0_of_08_cubed_freezes_stage_0_at_0512():
    times = freeze_times(40, 0.8, 3)
    assert times[0] == 0.512
    assert first_step(times[0], 1000) == 512


@given(st.integers(3, 60), shares)
def test_before_the_power_freeze_times_lie_on_a_line(n, t_0):
    line = freeze_times(n, t_0, 1)
    assert [b - a for a, b in pairwise(line)] == pytest.approx([(1 - t_0) / (n - 1)] * (n - 1), abs=1e-14)
    assert freeze_times(n, t_0, 3) == pytest.approx([t**3 for t in line], abs=1e-14)


@given(stages, powers)
def test_with_t_0_of_1_nothing_freezes_inside_the_run(n, power):
    assert freeze_times(n, 1.0, power) == (1.0,) * n


def test_freeze_times_equal_those_of_the_original_code():
    """DenseNet-BC-76 (40 stages), t_0 0.5, linear: the first and the second of the original's values."""
    assert freeze_times(40, 0.5, 1)[:2] == pytest.approx((0.5, 0.5128205128205128), abs=1e-15)


@pytest.mark.parametrize("t_0", [0.0, -0.1, 1.1, math.nan, math.inf])
def test_a_t_0_outside_0_to_1_is_refused_by_name(t_0):
    with pytest.raises(ValueError, match="t_0="):
        freeze_times(3, t_0, 1)


@pytest.mark.parametrize(("n", "power", "name"), [(0, 1, "n=0"), (3, 0, "power=0")])
def test_a_chain_without_stages_or_a_power_below_1_is_refused_by_name(n, power, name):
    with pytest.raises(ValueError, match=name):
        freeze_times(n, 0.5, power)


@given(st.floats(0.0, 1.0), shares, st.booleans())
def test_the_rate_is_0_if_and_only_if_the_time_has_come(t, t_i, scaled):
    assert (lr_factor(t, t_i, scaled=scaled) == 0) == (t >= t_i)


@given(shares, st.booleans())
def test_the_rate_is_positive_up_to_the_last_moment(t_i, scaled):
    assert lr_factor(math.nextafter(t_i, 0.0), t_i, scaled=scaled) > 0


@given(shares)
def test_a_rate_starts_at_the_base_and_is_half_of_it_half_way(t_i):
    assert lr_factor(0.0, t_i, scaled=False) == 1.0
    assert lr_factor(0.5 * t_i, t_i, scaled=False) == pytest.approx(0.5)
    assert lr_factor(0.0, t_i, scaled=True) == pytest.approx(1.0 / t_i)


@given(st.floats(0.0, 1.0), shares)
def test_the_rate_is_half_of_one_plus_a_cosine(t, t_i):
    expected = 0.5 * (1 + math.cos(math.pi * t / t_i)) if t < t_i else 0.0
    assert lr_factor(t, t_i, scaled=False) == pytest.approx(expected, abs=1e-14)


def distance(t_i, scaled, points=500):
    """Integral of the rate up to t_i by the midpoint rule, which is exact for half a cosine."""
    return t_i / points * math.fsum(lr_factor((j + 0.5) / points * t_i, t_i, scaled=scaled) for j in range(points))


@given(st.integers(2, 12), shares, powers)
def test_scaled_rates_travel_the_same_distance(n, t_0, power):
    for t_i in freeze_times(n, t_0, power):
        assert distance(t_i, True) == pytest.approx(0.5, rel=1e-9)


@given(st.integers(2, 12), shares, powers)
def test_unscaled_rates_travel_in_proportion_to_their_time(n, t_0, power):
    for t_i in freeze_times(n, t_0, power):
        assert distance(t_i, False) == pytest.approx(0.5 * t_i, rel=1e-9)


@given(schedules(), st.floats(0.0, 1.0))
def test_the_prefix_counts_the_stages_whose_time_has_come(schedule, t):
    assert frozen_prefix(t, schedule.freeze) == sum(t >= t_i for t_i in schedule.freeze)


@given(schedules(), totals)
def test_the_prefix_never_shrinks_and_never_takes_the_head(schedule, total):
    prefixes = [schedule.prefix(s, total) for s in range(total)]
    assert all(a <= b for a, b in pairwise(prefixes))
    assert max(prefixes) < len(schedule.freeze)


@given(schedules(), totals)
def test_freeze_steps_agree_with_the_prefix_at_every_step(schedule, total):
    steps = schedule.freeze_steps(total)
    for s in range(total):
        assert schedule.prefix(s, total) == sum(first is not None and first <= s for first in steps)


@given(st.floats(0.0, 1.0), totals)
def test_the_first_step_is_the_first_whose_t_has_reached_the_time(t_i, total):
    assert first_step(t_i, total) == next((s for s in range(total) if progress(s, total) >= t_i), None)


@given(totals, st.data())
def test_a_time_on_a_step_freezes_at_that_step(total, data):
    step = data.draw(st.integers(0, total - 1))
    assert first_step(progress(step, total), total) == step


def test_first_steps_stay_exact_in_runs_of_a_million_steps():
    for step in (0, 1, 333_333, 511_999, 512_000, 999_999):
        assert first_step(progress(step, 1_000_000), 1_000_000) == step
    assert first_step(1.0, 1_000_000) is None


@given(schedules(), totals)
def test_segments_partition_the_run_into_pieces_of_constant_prefix(schedule, total):
    pieces = schedule.segments(total)
    assert [s for _, start, end in pieces for s in range(start, end)] == list(range(total))
    for prefix, start, end in pieces:
        assert {schedule.prefix(s, total) for s in range(start, end)} == {prefix}
    assert all(a[0] < b[0] for a, b in pairwise(pieces))


@given(schedules(), totals)
def test_factors_are_the_rates_of_every_stage_at_the_step(schedule, total):
    step = total // 2
    expected = [lr_factor(step / total, t_i, scaled=schedule.scaled) for t_i in schedule.anneal]
    assert schedule.factors(step, total) == expected


@pytest.mark.parametrize(
    ("freeze", "anneal", "rule"),
    [
        ((), (), "need one per stage"),
        ((0.5, 1.0), (1.0,), "need one per stage"),
        ((0.6, 0.5, 1.0), (1.0,) * 3, "frozen prefix"),
        ((math.nan, 1.0), (1.0,) * 2, "frozen prefix"),
        ((0.5, 0.9999999999999996), (1.0,) * 2, "exactly 1"),
        ((math.nan,), (1.0,), "exactly 1"),
    ],
)
def test_a_schedule_that_breaks_a_rule_is_refused_with_the_rule(freeze, anneal, rule):
    with pytest.raises(ValueError, match=rule):
        Schedule(freeze, anneal)

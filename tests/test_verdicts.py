"""From log errors to words, on made-up cells whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.verdicts import LEAST_BOUND, Judgement, judge, log_error

BUDGETS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def truth(budgets) -> np.ndarray:
    x = np.log(budgets)
    return math.log(20) - 0.2 * x + 0.1 * x**2


def judged(
    effects: list[float], *, at: float = 0.75, seeds: int = 5, sd: float = 0.002, seed: int = 0, **options
) -> Judgement:
    """Arms at one budget whose log errors lie so far above the curve, each seed with a luck that its runs share."""
    rng = np.random.default_rng(seed)
    cells = np.concatenate([truth(BUDGETS), truth([at] * len(effects)) + effects])
    z = cells + rng.normal(0, sd, (seeds, len(cells))) + rng.normal(0, 0.3, (seeds, 1))
    return judge(BUDGETS, z[:, :6], [at] * len(effects), z[:, 6:], **options)


def words(found: Judgement) -> list[str]:
    return [one.word for one in found.verdicts]


def test_what_is_true_is_found_whatever_luck_the_runs_of_a_seed_share():
    found = judged([-0.05, 0.05, 0.0], margin=0.02)
    assert words(found) == ["better", "worse", "as good"]
    assert [one.difference for one in found.verdicts] == pytest.approx([-0.05, 0.05, 0.0], abs=0.005)


def test_without_a_margin_nothing_is_as_good():
    (one,) = judged([0.0]).verdicts
    assert one.word == "cannot tell"
    assert one.seeds_that_tell is None


def test_an_interval_is_inside_the_margin_or_it_is_not_as_good():
    (one,) = judged([0.0], margin=0.001).verdicts
    assert one.word == "cannot tell"


def test_the_margin_is_per_cent_of_the_error():
    (one,) = judged([0.0]).verdicts
    reach = math.expm1(max(-one.low, one.high))
    assert words(judged([0.0], margin=reach * 1.001)) == ["as good"]
    assert words(judged([0.0], margin=reach * 0.999)) == ["cannot tell"]


@pytest.mark.parametrize(("seeds", "word"), [(1, "under 3 seeds"), (2, "under 3 seeds"), (3, "better")])
def test_there_is_no_verdict_under_three_seeds(seeds, word):
    (one,) = judged([-0.5], seeds=seeds).verdicts
    assert (one.word, one.n) == (word, seeds)
    assert math.isnan(one.low) == (seeds == 1)


@pytest.mark.parametrize(("effect", "word"), [(-0.05, "cannot tell"), (0.0, "cannot tell"), (0.05, "worse")])
def test_an_arm_with_a_diverged_seed_is_neither_better_nor_as_good(effect, word):
    assert words(judged([effect], margin=0.02, diverged=[1])) == [word]


def test_the_bound_on_time_widens_the_interval_by_the_curves_slope():
    narrow, wide = (judged([0.0], time_bound=bound).verdicts[0] for bound in (0.01, 0.03))
    x = math.log(0.75)
    assert narrow.time_part == pytest.approx(abs(-0.2 + 0.2 * x) / 0.75 * 0.01, rel=0.1)
    assert wide.time_part == pytest.approx(3 * narrow.time_part)
    assert wide.high - narrow.high == pytest.approx(2 * narrow.time_part)


def test_what_is_known_of_single_arms_widens_theirs_alone():
    plain = judged([0.0, 0.0])
    off = judged([0.0, 0.0], off=[-0.03, math.nan])
    assert off.time_bounds == [0.03, LEAST_BOUND]
    assert off.verdicts[0].time_part == pytest.approx(3 * plain.verdicts[0].time_part)
    assert (off.verdicts[1].low, off.verdicts[1].high) == (plain.verdicts[1].low, plain.verdicts[1].high)
    assert judged([0.0], off=[0.003]).time_bounds == [LEAST_BOUND], "what is less than the bound leaves it"


def test_the_bound_on_time_is_never_below_one_point():
    assert judged([0.0], time_bound=0.0).time_bound == LEAST_BOUND == 0.01
    assert judged([0.0], time_bound=0.0).verdicts[0].time_part > 0


@pytest.mark.parametrize("at", [0.48, 1.02])
def test_an_arm_beyond_the_curve_has_no_verdict_and_stands_in_no_family(at):
    found = judged([-0.5], at=at)
    assert words(found) == ["outside the curve"]
    assert found.family == []


def test_within_the_bound_of_the_curves_end_it_is_set_against_the_end_with_the_distance_added():
    at_end, beyond = (judged([0.0], at=at).verdicts[0] for at in (1.0, 1.006))
    assert beyond.time_part / at_end.time_part == pytest.approx(1.6, rel=0.01)


def test_the_family_is_the_arms_that_have_a_contrast():
    rng = np.random.default_rng(0)
    arms = np.column_stack([rng.normal(0, 0.01, (4, 2)), np.full((4, 1), math.nan), rng.normal(0, 0.01, (4, 1))])
    found = judge(BUDGETS, rng.normal(0, 0.01, (4, 6)), [0.75, 0.3, 0.75, math.nan], arms, diverged=[0, 0, 4, 0])
    assert found.family == [0]
    assert words(found)[1:] == ["outside the curve", "diverged", "no saving measured"]


def test_a_missing_baseline_leaves_the_curve_shorter_and_the_gap_unknown():
    z = np.random.default_rng(0).normal(0, 0.01, (4, 6)) + np.append(truth(BUDGETS[1:]), truth([0.75]))
    (one,) = judge(BUDGETS[1:], z[:, :5], [0.75], z[:, 5:]).verdicts
    assert one.word == "cannot tell"
    assert math.isnan(one.free_fraction)
    assert words(judge(BUDGETS[1:], z[:, :5], [0.95], z[:, 5:])) == ["outside the curve"]


def test_without_any_shortened_run_or_baseline_there_is_no_curve():
    found = judge((), np.empty((4, 0)), [0.75], np.zeros((4, 1)))
    assert words(found) == ["no curve"]
    assert found.curve is None


def test_the_free_fraction_is_0_on_the_curve_and_1_at_the_full_baselines_error():
    gap = float((truth([0.75]) - truth([1.0]))[0])
    found = judged([0.0, -gap, -gap / 2], sd=1e-6)
    assert [one.free_fraction for one in found.verdicts] == pytest.approx([0, 1, 0.5], abs=1e-3)


def test_seeds_are_those_that_an_arm_shares_with_the_curve():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 0.002, (6, 8)) + np.append(truth(BUDGETS), truth([0.75] * 2))
    z[0, 6] = z[5, 2] = math.nan  # the first arm lacks a seed; so does a budget of the curve, which leaves the others
    z[1, :6] = math.nan
    found = judge(BUDGETS, z[:, :6], [0.75] * 2, z[:, 6:])
    assert [one.n for one in found.verdicts] == [4, 5]


def test_a_curve_that_lacks_another_run_in_each_seed_still_tells():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 0.002, (6, 8)) + np.append(truth(BUDGETS), truth([0.75] * 2) + np.array([-0.05, 0.05]))
    z += rng.normal(0, 0.3, (6, 1))
    for seed in range(6):
        z[seed, seed] = math.nan
    assert words(judge(BUDGETS, z[:, :6], [0.75] * 2, z[:, 6:])) == ["better", "worse"]


@pytest.mark.parametrize("shared", [0, 1])
def test_arms_that_share_no_seed_with_the_whole_curve_have_no_verdict_and_no_seeds(shared):
    """The last budgets of the curve are of other seeds than the arms, the first of theirs if shared."""
    z = np.full((6, 8), math.nan)
    z[:3, :6], z[3:, 6:] = truth(BUDGETS), truth([0.75] * 2)
    z[3:, :shared], z[:3, :shared] = truth(BUDGETS)[:shared], math.nan
    found = judge(BUDGETS, z[:, :6], [0.75] * 2, z[:, 6:])
    assert words(found) == ["no seed in common with the whole curve"] * 2
    assert [(one.n, math.isnan(one.difference)) for one in found.verdicts] == [(0, True)] * 2


def test_each_run_is_set_against_the_curve_at_its_own_budget():
    own = np.array([[0.55, 0.75], [0.95, 0.75], [0.6, 0.75], [0.9, math.nan]])
    arms = np.where(np.isnan(own), truth([0.75]), truth(own))
    z = np.column_stack([np.tile(truth(BUDGETS), (4, 1)), arms]) + np.arange(4)[:, None]
    found = judge(BUDGETS, z[:, :6], [0.75] * 2, z[:, 6:], own_budgets=own)
    assert [one.difference for one in found.verdicts] == pytest.approx([0, 0], abs=1e-9)
    assert found.pooled.s == pytest.approx([0, 0], abs=1e-9)
    (at_the_mean, _) = judge(BUDGETS, z[:, :6], [0.75] * 2, z[:, 6:]).verdicts
    assert at_the_mean.difference > 0.002, "of a curve that bends upwards the mean lies above the curve at the mean"


def test_a_run_beyond_the_curves_end_is_set_against_the_end_and_its_distance_counts_as_time():
    own = np.array([[0.46], [0.64], [0.55], [0.55]])
    z = np.column_stack([np.tile(truth(BUDGETS), (4, 1)), truth(np.maximum(own, 0.5))])
    (inside,) = judge(BUDGETS, z[:, :6], [0.55], z[:, 6:], own_budgets=np.maximum(own, 0.5)).verdicts
    (beyond,) = judge(BUDGETS, z[:, :6], [0.55], z[:, 6:], own_budgets=own).verdicts
    assert beyond.difference == pytest.approx(inside.difference)
    assert beyond.time_part == pytest.approx(inside.time_part * (LEAST_BOUND + 0.01) / LEAST_BOUND)


def test_equal_errors_throughout_are_a_tie_and_no_difference():
    found = judge(BUDGETS, np.full((3, 6), 0.1), [0.75], np.full((3, 1), 0.1))
    assert words(found) == ["cannot tell"]
    assert found.verdicts[0].difference == pytest.approx(0.0)
    assert math.isnan(found.verdicts[0].free_fraction)


def test_the_seeds_that_tell_are_fewer_for_a_wider_margin_and_none_where_the_bound_on_time_exceeds_it():
    wide, narrow, less_than_time = (judged([0.0], sd=0.02, margin=m).verdicts[0] for m in (0.04, 0.02, 0.001))
    assert 3 <= wide.seeds_that_tell < narrow.seeds_that_tell
    assert less_than_time.seeds_that_tell is None


def test_no_error_counts_as_half_an_image():
    assert log_error(0.0, 360) == pytest.approx(math.log(100 / 720))
    assert log_error(np.array([0.0, 5.0]), 100) == pytest.approx(np.log([0.5, 5.0]))

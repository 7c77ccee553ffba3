"""Contrasts, their pooled variance and simultaneous intervals, against other programs' answers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from analysis.curve import Curve
from analysis.pooled import SHRUNK, pool, quantile, seeds_that_tell

BUDGETS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
ARMS = (0.92, 0.87, 0.82, 0.78, 0.73, 0.68, 0.62, 0.56)


def forms(arms: tuple[float, ...] = ARMS) -> np.ndarray:
    curve = Curve(BUDGETS, is_quadratic=True)
    return np.array([np.append(-curve.weights(b), np.eye(len(arms))[i]) for i, b in enumerate(arms)])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def by_statsmodels(z: np.ndarray) -> tuple[sm.regression.linear_model.RegressionResultsWrapper, np.ndarray]:
    """The layout of seeds and cells fitted by another program, and the test of the contrasts in it."""
    seed, cell = (index[~np.isnan(z)] for index in np.indices(z.shape))
    seeds, cells = z.shape
    model = sm.OLS(z[~np.isnan(z)], np.column_stack([np.eye(cells)[cell], np.eye(seeds)[seed][:, 1:]])).fit()
    return model, model.t_test(np.column_stack([forms(), np.zeros((len(ARMS), seeds - 1))]))


# Runs that are missing: none, of arms, of the curve, of both, and a different budget of the curve in each seed.
LOST = [[], [(0, 6), (1, 6), (3, 9)], [(0, 2), (3, 5)], [(0, 2), (1, 6), (2, 6)], [(s, s) for s in range(4)]]


@pytest.mark.parametrize("lost", LOST)
def test_estimates_are_those_of_ordinary_least_squares_with_seeds_as_blocks_whichever_runs_are_missing(lost):
    z = normal(4, 14) + 10 * normal(4, 1, seed=1)
    for run in lost:
        z[run] = math.nan
    found, (model, tested) = pool(forms(), z), by_statsmodels(z)
    assert found.estimate == pytest.approx(tested.effect)
    # Its standard errors rest on the residual variance of all cells, ours on the contrasts' own: same L, same design.
    assert found.variance == pytest.approx((tested.sd / math.sqrt(model.mse_resid)).ravel() ** 2)


def test_of_one_contrast_it_is_the_paired_t_test():
    z = normal(5, 2)
    found, expected = pool(np.array([[-1.0, 1.0]]), z), stats.ttest_rel(z[:, 1], z[:, 0])
    interval = expected.confidence_interval(0.95)
    assert found.nu == pytest.approx(4)
    assert (found.estimate - found.half, found.estimate + found.half) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
    )


@pytest.mark.parametrize(("arms", "n"), [(3, 4), (8, 10)])
def test_many_arms_against_one_control_have_dunnetts_quantile(arms, n):
    control, samples = normal(n), normal(arms, n, seed=1)
    dunnett = stats.dunnett(*samples, control=control, rng=np.random.default_rng(2))
    interval = dunnett.confidence_interval(0.95)
    half = (interval.high - interval.low)[0] / 2
    pooled = math.sqrt(np.mean([np.var(one, ddof=1) for one in (control, *samples)]))
    expected = half / (pooled * math.sqrt(2 / n))
    half_own, half_controls = np.full(arms, math.sqrt(0.5)), np.full((arms, 1), math.sqrt(0.5))
    assert quantile(half_own, half_controls, (arms + 1) * (n - 1)) == pytest.approx(expected, abs=0.02)


def test_the_quantile_holds_the_largest_of_correlated_ts_95_times_in_100():
    weights, draws = forms(), normal(40_000, 14)
    v = np.sum(weights**2, axis=1)
    rng = np.random.default_rng(1)
    t = draws @ weights.T / np.sqrt(v) / np.sqrt(rng.chisquare(12, (40_000, 1)) / 12)
    scaled = weights / np.sqrt(v)[:, None]
    held = np.mean(np.abs(t).max(axis=1) <= quantile(np.diag(scaled[:, 6:]), scaled[:, :6], 12))
    assert held == pytest.approx(0.95, abs=0.004)


def test_the_quantile_lies_between_a_single_ts_and_bonferronis():
    nothing = np.zeros((8, 0))
    assert stats.t.ppf(0.975, 12) < quantile(np.ones(8), nothing, 12) < stats.t.ppf(1 - 0.025 / 8, 12)
    assert quantile(np.ones(1), nothing[:1], 12) == pytest.approx(stats.t.ppf(0.975, 12))


APART = [*((s, c) for s in (2, 3, 4) for c in range(6, 10)), *((s, c) for s in (0, 1) for c in range(10, 14))]


@pytest.mark.parametrize("lost", [[], [(0, 6), (1, 6), (4, 9)], [(0, 2), (3, 7)], APART])
def test_the_quantile_is_scipys_with_runs_missing_too(lost):
    """By scipy's integral over as many dimensions as there are arms, from the correlation of the estimates."""
    z = normal(5, 14)
    for cell in lost:
        z[cell] = math.nan
    found, (model, _) = pool(forms(), z), by_statsmodels(z)
    between = forms() @ model.cov_params()[:14, :14] @ forms().T
    between /= np.sqrt(np.outer(np.diag(between), np.diag(between)))
    box, t = np.full(8, found.critical), stats.multivariate_t
    held = t.cdf(box, shape=between, df=found.nu, lower_limit=-box, maxpts=200_000, random_state=0)
    assert held == pytest.approx(0.95, abs=5e-4)


def test_a_family_of_a_thousand_arms_has_its_quantile_in_seconds():
    budgets = tuple(np.linspace(0.55, 0.95, 1000))
    began = time.process_time()
    found = pool(forms(budgets), normal(5, 1006))
    assert time.process_time() - began < 30, "measured 3 s; an integral over 1000 dimensions would take hours"
    assert stats.t.ppf(0.975, found.nu) < found.critical < stats.t.ppf(1 - 0.025 / 1000, found.nu)


def test_the_degrees_of_freedom_follow_from_the_design():
    weights = forms()
    v = np.sum(weights**2, axis=1)
    r = weights @ weights.T / np.sqrt(np.outer(v, v))
    assert pool(weights, normal(3, 14)).nu == pytest.approx(2 * 64 / np.sum(r**2))


@pytest.mark.parametrize("lost", [[(s, 6) for s in range(2, 6)], [(s, s) for s in range(6)]])
def test_with_runs_missing_the_degrees_of_freedom_are_those_that_the_variance_has(lost):
    """Satterthwaite's 2 / (relative variance), and no bias, seen over many draws."""
    weights, gap = forms(ARMS[:2]), np.zeros((6, 8))
    for run in lost:
        gap[run] = math.nan
    found = [pool(weights, z + gap) for z in normal(4000, 6, 8)]
    s2 = np.array([one.common for one in found]) ** 2
    assert s2.mean() == pytest.approx(1, abs=0.05)
    assert found[0].nu == pytest.approx(2 / s2.var(), rel=0.1)


def test_an_arm_that_scatters_more_than_the_others_has_a_wider_interval_and_a_calm_one_no_narrower():
    z = normal(5, 14)
    z[:, 6] *= 4
    found, each = pool(forms(), z), z @ forms().T
    u = each.var(axis=0, ddof=1) / found.v
    s2 = u.mean()
    assert found.s**2 == pytest.approx(np.maximum(s2, (SHRUNK * s2 + 4 * u) / (SHRUNK + 4)))
    assert found.s[0] > found.s[1:].max()
    assert found.s[1:].min() == pytest.approx(math.sqrt(s2))


def test_a_missing_run_takes_what_it_would_have_told_and_not_its_whole_seed():
    z = normal(5, 14)
    whole = pool(forms(), z)
    assert whole.estimate == pytest.approx((z @ forms().T).mean(axis=0))
    assert whole.variance == pytest.approx(whole.v / 5)
    z[4, 7] = math.nan  # a run of the second arm: the others are told as before
    found, others = pool(forms(), z), np.arange(8) != 1
    assert found.estimate[others] == pytest.approx(whole.estimate[others])
    assert found.variance[others] == pytest.approx(whole.variance[others])
    assert whole.variance[1] < found.variance[1] < found.v[1] / 4
    z[0, 2] = math.nan  # one of the curve's: every contrast loses a little
    less = pool(forms(), z)
    assert ((less.variance > found.variance) & (less.variance < found.v / 3)).all()


def test_arms_and_a_curve_without_a_seed_in_common_are_not_compared():
    z = normal(6, 14)
    z[:3, 6:], z[3:, :6] = math.nan, math.nan
    found = pool(forms(), z)
    assert np.isnan(found.estimate).all()
    assert np.isnan(found.half).all()


def test_one_seed_is_an_estimate_without_an_interval():
    found = pool(forms(), normal(1, 14))
    assert np.isfinite(found.estimate).all()
    assert np.isnan(found.half).all()


def test_an_arm_without_any_seed_takes_no_part():
    z = normal(4, 14)
    z[:, 6] = math.nan
    found, others = pool(forms(), z), pool(forms()[1:], z)
    assert math.isnan(found.estimate[0])
    assert math.isnan(found.half[0])
    assert (found.nu, found.critical) == (pytest.approx(others.nu), pytest.approx(others.critical))


def test_the_seeds_that_tell_find_an_effect_of_the_margins_size_in_80_of_100_cases():
    """One contrast against one cell, variance known: the textbook's formula for a paired t."""
    n = seeds_that_tell(v=2.0, s=0.01, critical=1.96, margin=0.01)
    assert n == 16
    power = stats.norm.cdf(0.01 / (0.01 * math.sqrt(2 / n)) - 1.96)
    assert power == pytest.approx(0.8, abs=0.02)
    assert seeds_that_tell(2.0, 0.01, 1.96, 0.0) is None
    assert seeds_that_tell(2.0, 1e-9, 1.96, 0.01) == 3

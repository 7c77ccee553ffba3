"""Families of arms on the shortened baseline's curve, whose truth is known: what error rates are of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.verdicts import BETTER, WORSE, judge

BUDGETS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
ARMS = np.array([0.92, 0.87, 0.82, 0.78, 0.73, 0.68, 0.62, 0.56])


@dataclass(frozen=True)
class Family:
    """Eight arms and what is true of them.

    Attributes:
        noise: Standard deviation of one run's log error: 0.013 is 1.3 % of the error.
        slope, bend: Of the true curve of log error over log budget: error ~ budget^slope where bend is 0.
        effect: How much of its error the first arm saves at equal time.
        seeds_correlated: Correlation of all runs of a seed.
        arms_correlated: Correlation of the arms of a half family, as of arms that share a schedule.
        one_scatters: The first arm's noise is twice the others'.
        overstated: By how much every arm's saving is said to be more than it is.
        scattered: Standard deviation of a run's saving about its arm's, as of strategies that decide in training.
        time_bound: As `judge` takes it.
        lost: Share of the runs that are missing, at random.
    """

    noise: float = 0.013
    slope: float = 0.0
    bend: float = 0.0
    effect: float = 0.0
    seeds_correlated: float = 0.0
    arms_correlated: float = 0.0
    one_scatters: bool = False
    overstated: float = 0.0
    scattered: float = 0.0
    time_bound: float = 0.01
    lost: float = 0.0


@dataclass(frozen=True)
class Rates:
    """How often, of all draws: any arm is called better or worse, any better, the first arm better, and each better."""

    any_called: float
    any_better: float
    first_better: float
    each_better: tuple[float, ...]


def rates(family: Family, seeds: int, draws: int, seed: int = 0, *, singly: bool = False) -> Rates:
    """The error rates and the power of the verdicts on a family; `singly`: of the way that they replace."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        z, own = draw(family, seeds, rng)
        found.append(single_words(z, own) if singly else judged_words(family, z, own))
    better, worse = (np.array([[word == of for word in words] for words in found]) for of in (BETTER, WORSE))
    each = tuple(map(float, better.mean(axis=0)))
    return Rates(float((better | worse).any(axis=1).mean()), float(better.any(axis=1).mean()), each[0], each)


def judged_words(family: Family, z: np.ndarray, own: np.ndarray) -> list[str]:
    there = np.flatnonzero(~np.isnan(z[:, :6]).all(axis=0))
    budgets, curve = [BUDGETS[j] for j in there], z[:, there]
    given = {"own_budgets": own, "time_bound": family.time_bound}
    return [one.word for one in judge(budgets, curve, list(own.mean(axis=0)), z[:, 6:], **given).verdicts]


def single_words(z: np.ndarray, own: np.ndarray) -> list[str]:
    """Error against the straight line between the neighbouring budgets, a paired t test for each arm by itself."""
    errors, budgets = np.exp(z), BUDGETS[::-1]
    lines = np.array([np.interp(at, budgets, curve[::-1]) for at, curve in zip(own, errors[:, :6], strict=True)])
    apart = errors[:, 6:] - lines
    t = apart.mean(axis=0) / (apart.std(axis=0, ddof=1) / math.sqrt(len(z)))
    least = float(stats.t.ppf(0.975, len(z) - 1))
    return [BETTER if one < -least else WORSE if one > least else "" for one in t]


def draw(family: Family, seeds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Log errors (seeds, 6 budgets and 8 arms), and the budgets of the arms' runs (seeds, 8)."""
    noise = rng.normal(size=(seeds, 14))
    halves = np.repeat(rng.normal(size=(seeds, 2)), 4, axis=1)
    noise[:, 6:] = _mixed(noise[:, 6:], halves, family.arms_correlated)
    noise = family.noise * _mixed(noise, rng.normal(size=(seeds, 1)), family.seeds_correlated)
    if family.one_scatters:
        noise[:, 6] *= 2
    own = np.tile(ARMS, (seeds, 1))
    if family.scattered:
        own = np.clip(own + family.scattered * rng.normal(size=own.shape), 0.45, 1.0)
    x = np.log(np.column_stack([np.tile(BUDGETS, (seeds, 1)), own + family.overstated]))
    z = family.slope * x + family.bend * x**2 + noise
    z[:, 6] += math.log(1 - family.effect)
    if family.lost:
        z[rng.random(z.shape) < family.lost] = math.nan
    return z, own


def _mixed(own: np.ndarray, shared: np.ndarray, correlation: float) -> np.ndarray:
    return math.sqrt(1 - correlation) * own + math.sqrt(correlation) * shared

"""Contrasts of a family of arms with a pooled variance and simultaneous intervals.

Each contrast is a linear form of the cells (configurations), taken seed by seed, so that what a seed's runs share drops
out. How contrasts correlate follows from the design alone; estimated from 3 seeds it would be singular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from .curve import CONFIDENCE

SHRUNK = 8.0  # degrees of freedom that the pooled variance counts in a contrast's own
POWER = 0.84  # standard errors beyond the critical value that find an effect in 80 of 100 cases
LEAST = 3  # seeds without which there is no verdict


@dataclass(frozen=True)
class Pooled:
    """What a family of m contrasts shows.

    Attributes:
        estimate: (m,) means over seeds; NaN where no seed has all cells of a contrast.
        n: (m,) seeds that have all cells of a contrast.
        v: (m,) sums of the squared weights: the variance of a contrast, in units of a cell's.
        s: (m,) standard deviation of a cell, shrunk towards the pooled one; NaN where no contrast has two seeds.
        common: The pooled standard deviation of a cell itself; NaN as `s`.
        nu: Degrees of freedom of the pooled variance.
        critical: How many standard errors a simultaneous interval reaches to each side.
    """

    estimate: np.ndarray
    n: np.ndarray
    v: np.ndarray
    s: np.ndarray
    common: float
    nu: float
    critical: float

    @property
    def half(self) -> np.ndarray:
        """(m,) half-widths of the simultaneous intervals, the seeds' part alone."""
        return self.critical * self.s * np.sqrt(self.v / np.maximum(self.n, 1))


def pool(forms: np.ndarray, z: np.ndarray) -> Pooled:
    """Contrasts over seeds.

    Args:
        forms: (m, cells) weights, one row per contrast.
        z: (seeds, cells) log errors; NaN for a run that is not there. A contrast is taken over the seeds that have all
            cells which it weighs.
    """
    used = forms != 0
    whole = np.array([~np.isnan(z[:, cells]).any(axis=1) for cells in used])  # (m, seeds)
    each = np.nan_to_num(z) @ forms.T  # (seeds, m); only whole ones are read
    n = whole.sum(axis=1)
    v = np.sum(forms**2, axis=1)
    estimate = np.array([each[rows, c].mean() if rows.any() else math.nan for c, rows in enumerate(whole)])
    u = np.array([each[rows, c].var(ddof=1) / v[c] if n[c] > 1 else 0.0 for c, rows in enumerate(whole)])
    free = np.maximum(n - 1, 0)
    correlation = (forms @ forms.T) / np.sqrt(np.outer(v, v))
    if not free.any():
        nothing = np.full(len(v), math.nan)
        return Pooled(estimate, n, v, nothing, math.nan, math.nan, math.nan)
    told = free > 0
    shared = (whole[:, None] & whole[None]).sum(axis=2).astype(float)
    s2 = float(free @ u / free.sum())
    nu = _degrees(correlation[np.ix_(told, told)], shared[np.ix_(told, told)], n[told])
    own = (SHRUNK * s2 + free * u) / (SHRUNK + free)
    between = correlation * shared / np.sqrt(np.outer(np.maximum(n, 1), np.maximum(n, 1)))
    critical = quantile(between[np.ix_(told, told)], nu)
    return Pooled(estimate, n, v, np.sqrt(np.maximum(s2, own)), math.sqrt(s2), nu, critical)


def _degrees(correlation: np.ndarray, shared: np.ndarray, n: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the mean variance; (n - 1) m^2 / sum R^2 where all share n seeds."""
    pairs = np.outer(n, n)
    common = (shared - shared / n[:, None] - shared / n[None] + shared**2 / pairs) / np.outer(n - 1, n - 1)
    share = (n - 1) / (n - 1).sum()
    return float(1 / (share @ (correlation**2 * common) @ share))


def quantile(correlation: np.ndarray, nu: float, confidence: float = CONFIDENCE) -> float:
    """The quantile of the largest |t| of a family, from the multivariate t.

    Args:
        correlation: (m, m), of the estimates.
        nu: Degrees of freedom.
        confidence: That no interval of the family misses its truth.
    """
    rounded = np.round(correlation, 6)
    return _quantile(rounded.tobytes(), len(rounded), round(nu, 6), confidence)


@lru_cache(maxsize=512)
def _quantile(correlation: bytes, m: int, nu: float, confidence: float) -> float:
    single = float(stats.t.ppf(0.5 + confidence / 2, nu))
    if m == 1:
        return single
    shape = np.frombuffer(correlation).reshape(m, m)

    def excess(c: float) -> float:
        box = np.full(m, c)
        # A seed of its own for each call, the same for all: the integral is then a smooth function of c.
        held = stats.multivariate_t.cdf(box, shape=shape, df=nu, lower_limit=-box, random_state=0, allow_singular=True)
        return float(held) - confidence

    bonferroni = float(stats.t.ppf(1 - (1 - confidence) / (2 * m), nu))
    return float(optimize.brentq(excess, single - 0.05, bonferroni + 0.05, xtol=1e-3))


def seeds_that_tell(v: float, s: float, critical: float, margin: float) -> int | None:
    """The smallest number of seeds with which an effect as large as the margin is found in 80 of 100 cases.

    Args:
        v: Variance of the contrast, in units of a cell's.
        s: Standard deviation of a cell.
        critical: Of the family as it is.
        margin: What the bound on time leaves of it; where that is nothing, no number of seeds will do: None.
    """
    if not margin > 0 or not s >= 0:
        return None
    return max(LEAST, math.ceil(v * ((critical + POWER) * s / margin) ** 2))

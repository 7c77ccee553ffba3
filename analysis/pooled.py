"""Contrasts of a family of arms with a pooled variance and simultaneous intervals.

Each contrast is a linear form of the cells (configurations), within seeds, so that effects shared by all runs of a seed
cancel. Correlations follow from the design alone; estimated from 3 seeds they would be singular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

from .curve import CONFIDENCE
from .two_way import SMALL, TwoWay

SHRUNK = 8.0  # degrees of freedom given to the pooled variance in a contrast's own
POWER = 0.84  # standard errors beyond the critical value for a power of 80 %
POINTS, BLOCK = 4096, 256  # points of a quantile's integral, and points per block
LEAST = 3  # seeds needed for a verdict


@dataclass(frozen=True)
class Pooled:
    """The estimates of a family of m contrasts.

    Attributes:
        estimate: (m,) by least squares: with no run missing, means over seeds; NaN if the runs do not tell a contrast.
        v: (m,) sums of the squared weights: the variance of a contrast under one seed, in units of a cell's.
        variance: (m,) of the estimates, in units of a cell's: v / seeds if no run is missing.
        s: (m,) standard deviation of a cell, shrunk towards the pooled one; NaN if no two runs tell it.
        common: The pooled standard deviation of a cell; NaN as `s`.
        nu: Degrees of freedom of the pooled variance.
        critical: Half-width of a simultaneous interval, in standard errors.
    """

    estimate: np.ndarray
    v: np.ndarray
    variance: np.ndarray
    s: np.ndarray
    common: float
    nu: float
    critical: float

    @property
    def half(self) -> np.ndarray:
        """(m,) half-widths of the simultaneous intervals, without the bound on time."""
        return self.critical * self.s * np.sqrt(self.variance)


def pool(forms: np.ndarray, z: np.ndarray) -> Pooled:
    """Estimate contrasts over seeds.

    Args:
        forms: (m, cells) weights, one row per contrast; each row's sum is 0.
        z: (seeds, cells) log errors; NaN for a missing run. Cells without a weight take no part.
    """
    used = (forms != 0).any(axis=0)
    forms, layout = forms[:, used], TwoWay(z[:, used])
    told = layout.has(forms)
    v, nothing = np.sum(forms**2, axis=1), np.full(len(forms), math.nan)
    estimate = np.where(told, forms @ layout.effects, math.nan)
    covariance = forms @ layout.inverse @ forms.T
    variance = np.where(told, np.diag(covariance), math.nan)
    squares, expected, between = _own_squares(forms[told], layout)
    known = expected > SMALL
    if not known.any():
        return Pooled(estimate, v, variance, nothing, math.nan, math.nan, math.nan)
    relative = between[np.ix_(known, known)] / np.outer(expected[known], expected[known])
    u, free = np.zeros(len(known)), np.zeros(len(known))
    u[known], free[known] = squares[known] / expected[known], 1 / np.diag(relative)
    s2, share = float(free @ u / free.sum()), free[known] / free.sum()
    nu = float(1 / (share @ relative @ share))
    s = nothing.copy()
    s[told] = np.sqrt(np.maximum(s2, (SHRUNK * s2 + free * u) / (SHRUNK + free)))
    critical = quantile(*_parts(forms[told], layout, covariance[np.ix_(told, told)]), nu)
    return Pooled(estimate, v, variance, s, math.sqrt(s2), nu, critical)


def _own_squares(forms: np.ndarray, layout: TwoWay) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each contrast itself says of the variance: its squared residuals, summed over seeds.

    With no run missing they are the squared deviations of its values under n seeds from their mean. A pure two-way
    residual would be wrong: arms that share a schedule share a part of their noise.

    Args:
        forms: (m, cells) weights of contrasts that the runs tell.
        layout: The fit.

    Returns:
        (m,) sums of squares; (m,) their expectations for a cell's variance of 1, with no run missing (n - 1) v; (m, m)
        half their covariances, with no run missing (n - 1) (L_c L_d)^2.
    """
    # Seeds that lack the same runs are alike: each kind is taken once, `seeds` times.
    _, first, seeds = np.unique(np.isnan(layout.z), axis=0, return_index=True, return_counts=True)
    moved = forms @ layout.centring[first]  # (kinds, m, cells)
    fitted = moved @ layout.root[0]
    squares = np.sum((layout.residuals @ forms.T) ** 2, axis=0)
    expected, between = np.zeros(len(forms)), np.zeros((len(forms), len(forms)))
    for i, n in enumerate(seeds):
        shared = fitted[i] @ fitted[i].T
        own = moved[i] @ forms.T - shared
        expected += n * np.diag(own)
        between += n * own**2 + n * (n - 1) * shared**2
        for j in range(i):
            cross = (fitted[i] @ fitted[j].T) ** 2
            between += n * seeds[j] * (cross + cross.T)
    return squares, expected, between


def _parts(forms: np.ndarray, layout: TwoWay, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The estimates, scaled to variance 1, split into each contrast's own part and a part shared with others.

    The own part is that of cells that no other contrast uses: an arm's own runs. The rest comes from the curve and,
    where runs are missing, from the seeds' effects. Where these leave less than the whole own part, it is made smaller.

    Args:
        forms: (m, cells) weights.
        layout: The fit.
        covariance: (m, m) of the estimates.

    Returns:
        (m,) standard deviations of the own parts, and (m, r) loadings on r independent normals.
    """
    variance = np.diag(covariance)
    correlation = covariance / np.sqrt(np.outer(variance, variance))
    is_own = (forms != 0).sum(axis=0) == 1
    seeds = np.maximum((~np.isnan(layout.z)).sum(axis=0), 1)
    own = np.sqrt(np.sum((forms**2 / seeds)[:, is_own], axis=1) / variance)
    own *= math.sqrt(min(1.0, max(SMALL, float(np.linalg.eigvalsh(correlation / np.outer(own, own))[0]))))
    size, u = np.linalg.eigh(correlation - np.diag(own**2))
    kept = np.flatnonzero(size > SMALL)[::-1]
    return own, u[:, kept] * np.sqrt(size[kept])


def quantile(own: np.ndarray, loadings: np.ndarray, nu: float, confidence: float = CONFIDENCE) -> float:
    """The quantile of the largest |t| of a family, from the multivariate t.

    Given their shared part the contrasts are independent (Dunnett 1955), so the integral has few dimensions however
    large the family is.

    Args:
        own: (m,) standard deviations of each contrast's own part, above 0.
        loadings: (m, r), on the r shared normals; own^2 plus a row's squares is 1.
        nu: Degrees of freedom.
        confidence: Probability that all intervals of the family cover their true values.
    """
    return _quantile(np.round(own, 6).tobytes(), np.round(loadings, 6).tobytes(), len(own), round(nu, 6), confidence)


@lru_cache(maxsize=512)
def _quantile(own: bytes, loadings: bytes, m: int, nu: float, confidence: float) -> float:
    single = float(stats.t.ppf(0.5 + confidence / 2, nu))
    if m == 1:
        return single
    width, shared = np.frombuffer(own), np.frombuffer(loadings).reshape(m, -1)
    # The same points for every c: the integral is then a smooth function of c.
    drawn = stats.qmc.Sobol(shared.shape[1] + 1, rng=np.random.default_rng(0)).random(POINTS)
    scale = np.sqrt(stats.chi2.ppf(drawn[:, 0], nu) / nu)
    common = special.ndtri(drawn[:, 1:])

    def excess(c: float) -> float:
        held = 0.0
        for i in range(0, POINTS, BLOCK):
            at, reach = common[i : i + BLOCK] @ shared.T, c * scale[i : i + BLOCK, None]
            inside = special.ndtr((reach - at) / width) - special.ndtr((-reach - at) / width)
            held += float(inside.prod(axis=1).sum())
        return held / POINTS - confidence

    bonferroni = float(stats.t.ppf(1 - (1 - confidence) / (2 * m), nu))
    return float(optimize.brentq(excess, single - 0.05, bonferroni + 0.05, xtol=1e-3))


def seeds_that_tell(v: float, s: float, critical: float, margin: float) -> int | None:
    """The smallest number of seeds that detects an effect as large as the margin with 80 % power.

    Args:
        v: Variance of the contrast, in units of a cell's.
        s: Standard deviation of a cell.
        critical: Critical value of the present family.
        margin: The margin less the part of the bound on time; if none of it is left, no number of seeds suffices: None.
    """
    if not margin > 0 or not s >= 0:
        return None
    return max(LEAST, math.ceil(v * ((critical + POWER) * s / margin) ** 2))

"""Contrasts of a family of arms with a pooled variance and simultaneous intervals.

Each contrast is a linear form of the cells (configurations), computed seed by seed, so that effects shared by all runs
of a seed cancel. Their correlations follow from the design alone; estimated from 3 seeds they would be singular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

from .curve import CONFIDENCE

SHRUNK = 8.0  # degrees of freedom given to the pooled variance in a contrast's own
POWER = 0.84  # standard errors beyond the critical value for a power of 80 %
POINTS, BLOCK = 4096, 256  # points of a quantile's integral, and points per block
LEAST = 3  # seeds needed for a verdict


@dataclass(frozen=True)
class Pooled:
    """The estimates of a family of m contrasts.

    Attributes:
        estimate: (m,) means over seeds; NaN if no seed has all cells of a contrast.
        n: (m,) seeds that have all cells of a contrast.
        v: (m,) sums of the squared weights: the variance of a contrast, in units of a cell's.
        s: (m,) standard deviation of a cell, shrunk towards the pooled one; NaN if no contrast has two seeds.
        common: The pooled standard deviation of a cell; NaN as `s`.
        nu: Degrees of freedom of the pooled variance.
        critical: Half-width of a simultaneous interval, in standard errors.
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
        """(m,) half-widths of the simultaneous intervals, without the bound on time."""
        return self.critical * self.s * np.sqrt(self.v / np.maximum(self.n, 1))


def pool(forms: np.ndarray, z: np.ndarray) -> Pooled:
    """Estimate contrasts over seeds.

    Args:
        forms: (m, cells) weights, one row per contrast.
        z: (seeds, cells) log errors; NaN for a missing run. A contrast uses the seeds that have all cells with a
            nonzero weight.
    """
    used = forms != 0
    whole = np.array([~np.isnan(z[:, cells]).any(axis=1) for cells in used])  # (m, seeds)
    each = np.nan_to_num(z) @ forms.T  # (seeds, m); only whole ones are read
    n = whole.sum(axis=1)
    v = np.sum(forms**2, axis=1)
    estimate = np.array([each[rows, c].mean() if rows.any() else math.nan for c, rows in enumerate(whole)])
    u = np.array([each[rows, c].var(ddof=1) / v[c] if n[c] > 1 else 0.0 for c, rows in enumerate(whole)])
    free = np.maximum(n - 1, 0)
    if not free.any():
        nothing = np.full(len(v), math.nan)
        return Pooled(estimate, n, v, nothing, math.nan, math.nan, math.nan)
    told = free > 0
    correlation = (forms[told] @ forms[told].T) / np.sqrt(np.outer(v[told], v[told]))
    together = whole[told].astype(float)
    s2 = float(free @ u / free.sum())
    nu = _degrees(correlation, together @ together.T, n[told])
    own = (SHRUNK * s2 + free * u) / (SHRUNK + free)
    critical = quantile(*_parts(forms[told], whole[told]), nu)
    return Pooled(estimate, n, v, np.sqrt(np.maximum(s2, own)), math.sqrt(s2), nu, critical)


def _degrees(correlation: np.ndarray, shared: np.ndarray, n: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the mean variance; (n - 1) m^2 / sum R^2 if all share n seeds."""
    pairs = np.outer(n, n)
    common = (shared - shared / n[:, None] - shared / n[None] + shared**2 / pairs) / np.outer(n - 1, n - 1)
    share = (n - 1) / (n - 1).sum()
    return float(1 / (share @ (correlation**2 * common) @ share))


def _parts(forms: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The estimates, scaled to variance 1, split into each contrast's own part and the part shared with others.

    The own part comes from cells that no other contrast uses: an arm's own runs. The rest comes from the curve.

    Args:
        forms: (m, cells) weights.
        whole: (m, seeds) which seeds a contrast uses.

    Returns:
        (m,) standard deviations of the own parts, and (m, r) loadings on r independent normals.
    """
    scaled = forms / np.sqrt(np.sum(forms**2, axis=1))[:, None]
    is_own = (forms != 0).sum(axis=0) == 1
    own = np.sqrt(np.sum(scaled[:, is_own] ** 2, axis=1))
    seeds = whole / np.sqrt(whole.sum(axis=1))[:, None]
    common = (scaled[:, ~is_own, None] * seeds[:, None, :]).reshape(len(forms), -1)
    u, size, _ = np.linalg.svd(common, full_matrices=False)
    kept = size > 1e-9 * max(size.max(initial=0.0), 1.0)
    return own, u[:, kept] * size[kept]


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

"""The shortened baseline's curve of log error over log budget, as weights on its own cells.

The curve is linear in the cells: its value at any budget is `weights @ z`, where z are the log errors at its budgets.
The contrast of an arm with the curve is therefore linear too, and its weights follow from the design alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
LACK_OF_FIT = 0.05  # below this p the quadratic is rejected, and neighbours are joined by straight lines
SAME = 1e-6  # budgets that differ by less are treated as equal


@dataclass(frozen=True)
class Curve:
    """A curve over some budgets.

    Attributes:
        budgets: Fractions of the full training, each once, in any order; at least one.
        is_quadratic: Log error is a least-squares quadratic in log budget; else linear in it between neighbours.
        lack_of_fit: p of the quadratic's lack of fit; NaN if it cannot be tested.
    """

    budgets: tuple[float, ...]
    is_quadratic: bool
    lack_of_fit: float = math.nan

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest budget; the curve is undefined beyond them."""
        return min(self.budgets), max(self.budgets)

    def weights(self, budget: float) -> np.ndarray:
        """The weight of each cell in the curve's log error at a budget; the weights add up to 1.

        Raises:
            ValueError: The budget lies beyond the ends.
        """
        self._check(budget)
        if self.is_quadratic:
            return self._quadratic(np.array([1.0, math.log(budget), math.log(budget) ** 2]))
        x, at = np.log(self.budgets), math.log(budget)
        found = np.zeros(len(x))
        low, high = self._neighbours(budget)
        share = 0.0 if low == high else (at - x[low]) / (x[high] - x[low])
        found[low] += 1 - share
        found[high] += share
        return found

    def slope_weights(self, budget: float) -> np.ndarray:
        """The weights of the curve's derivative with respect to log budget; they add up to 0.

        Straight lines: the slope of the segment the budget lies on; at a corner, of the segment towards smaller
        budgets, the steeper one if the curve is convex.
        """
        self._check(budget)
        if self.is_quadratic:
            return self._quadratic(np.array([0.0, 1.0, 2 * math.log(budget)]))
        x = np.log(self.budgets)
        found = np.zeros(len(x))
        low, high = self._neighbours(budget)
        if low != high:
            found[high], found[low] = 1 / (x[high] - x[low]), -1 / (x[high] - x[low])
        return found

    def _check(self, budget: float) -> None:
        low, high = self.ends
        if not low - SAME <= budget <= high + SAME:
            raise ValueError(f"budget {budget:g} lies outside the curve's, {low:g} to {high:g}")

    def _quadratic(self, of: np.ndarray) -> np.ndarray:
        x = np.log(self.budgets)
        return of @ np.linalg.pinv(np.column_stack([np.ones_like(x), x, x**2]))

    def _neighbours(self, budget: float) -> tuple[int, int]:
        """Indices of the two budgets around one; twice the same if there is only one budget."""
        order = np.argsort(self.budgets)
        if len(order) == 1:
            return int(order[0]), int(order[0])
        after = int(np.searchsorted(np.array(self.budgets)[order], budget))
        after = min(max(after, 1), len(order) - 1)
        return int(order[after - 1]), int(order[after])


def fit(budgets: tuple[float, ...], z: np.ndarray) -> Curve:
    """The curve through some cells: quadratic, unless lack of fit rejects it or there are fewer than three budgets.

    Args:
        budgets: k fractions of the full training.
        z: Log errors (n, k), one row per seed, none missing. They only decide between the two kinds.
    """
    if len(budgets) < 3:
        return Curve(budgets, is_quadratic=False)
    p = lack_of_fit(budgets, z)
    return Curve(budgets, is_quadratic=not p < LACK_OF_FIT, lack_of_fit=p)


def lack_of_fit(budgets: tuple[float, ...], z: np.ndarray) -> float:
    """p of the F test of the quadratic against free means, with seeds as blocks; NaN with 3 budgets or one seed.

    Args:
        budgets: k fractions of the full training.
        z: Log errors (n, k), one row per seed, none missing.
    """
    n, k = z.shape
    if k < 4 or n < 2:
        return math.nan
    x = np.log(budgets)
    basis = np.column_stack([np.ones_like(x), x, x**2])
    means = z.mean(axis=0)
    misfit = n * float(np.sum((means - basis @ np.linalg.pinv(basis) @ means) ** 2)) / (k - 3)
    within = _within(z)
    if within <= 1e-24:  # no noise within seeds: any misfit is real
        return 1.0 if misfit <= 1e-20 else 0.0
    return float(stats.f.sf(misfit / within, k - 3, (n - 1) * (k - 1)))


def band(curve: Curve, z: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Half-widths of the band that holds the whole curve in 95 of 100 cases (Working and Hotelling 1929).

    It covers the scatter within seeds only: effects shared by all runs of a seed shift the whole curve, and with it an
    arm of the same seeds.

    Args:
        curve: The curve.
        z: Log errors (n, k), one row per seed, none missing.
        at: Budgets (m,) between its ends.

    Returns:
        (m,), in log error; NaN with one seed or one budget.
    """
    n, k = z.shape
    if n < 2 or k < 2:
        return np.full(len(at), math.nan)
    free = min(3, k) if curve.is_quadratic else k  # parameters of the curve
    weights = np.array([curve.weights(float(b)) for b in at])
    reach = math.sqrt(free * float(stats.f.ppf(CONFIDENCE, free, (n - 1) * (k - 1))))
    return reach * np.sqrt(_within(z) * np.sum(weights**2, axis=1) / n)


def _within(z: np.ndarray) -> float:
    """The variance of a run's log error within seeds, from the two-way layout seeds x budgets."""
    n, k = z.shape
    noise = z - z.mean(axis=0) - z.mean(axis=1, keepdims=True) + z.mean()
    return float(np.sum(noise**2)) / ((n - 1) * (k - 1))

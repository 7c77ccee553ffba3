"""Placebos: the curve's own runs judged as if they were arms. What does the method find if there is no effect?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .curve import fit
from .pooled import LEAST, pool
from .verdicts import ROUNDING

FEWEST = 3  # budgets that the curve needs without the placebo; through two it would be a line


@dataclass(frozen=True)
class Placebo:
    """A shortened baseline set against the curve of the other budgets. Differences are in log error.

    Attributes:
        budget: Which one; known exactly, so that no bound on time widens its interval.
        n: Seeds that have every budget of the curve.
        difference: Truly 0, except for the error of the curve at budgets that it was not fitted to.
        low, high: 95 % interval of this placebo alone, from the scatter of its own differences over seeds.
    """

    budget: float
    n: int
    difference: float
    low: float
    high: float

    @property
    def is_told(self) -> bool:
        """Whether its interval excludes 0, as one in twenty does by chance. Equal errors do not, to within rounding."""
        return self.low > ROUNDING or self.high < -ROUNDING


def placebos(budgets: Sequence[float], curve_z: np.ndarray) -> list[Placebo]:
    """One placebo for each budget between others, in their order; none if too few budgets or seeds are left.

    Removing the placebo leaves a gap in the curve, so the curve is at least as accurate for an arm between its budgets.

    Args:
        budgets: k fractions of the full training, in order.
        curve_z: (seeds, k) log errors; NaN for a run that is not there.
    """
    k, whole = len(budgets), curve_z[~np.isnan(curve_z).any(axis=1)]
    if k <= FEWEST or len(whole) < LEAST:
        return []
    found = []
    for j in range(1, k - 1):
        others = [i for i in range(k) if i != j]
        form = np.zeros((1, k))
        form[0, others] = -fit(tuple(budgets[i] for i in others), whole[:, others]).weights(budgets[j])
        form[0, j] = 1.0
        pooled = pool(form, whole)
        estimate, half = float(pooled.estimate[0]), float(pooled.half[0])
        found.append(Placebo(budgets[j], len(whole), estimate, estimate - half, estimate + half))
    return found

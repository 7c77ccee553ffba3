"""The curve to beat as figures show it: the fitted curve over time, with the band from the scatter within seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curve import band
from .panel_verdicts import PanelVerdicts

PIECES = 60  # points along the drawn line


@dataclass(frozen=True)
class DrawnCurve:
    """Points along the curve, from the most time saved to the least.

    Attributes:
        budgets: (m,) shares of the full baseline's time.
        error: (m,) per cent.
        low, high: (m,) a 95 % band that holds the whole curve; NaN with one seed.
        name: What a legend calls it.
    """

    budgets: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    name: str


def drawn_curve(one: PanelVerdicts) -> DrawnCurve | None:
    """The curve of a panel; None if it has none, or only one budget."""
    curve, z = one.judgement.curve, one.cells.curve_z
    if curve is None or len(curve.budgets) < 2:
        return None
    budgets = np.unique([*np.linspace(*curve.ends, PIECES), *curve.budgets])
    middle = np.array([curve.weights(float(b)) for b in budgets]) @ one.cells.curve_means
    half = band(curve, z[~np.isnan(z).any(axis=1)], budgets)
    name = "the curve to beat" if curve.is_quadratic else "the curve to beat, straight lines"
    return DrawnCurve(budgets, np.exp(middle), np.exp(middle - half), np.exp(middle + half), name)

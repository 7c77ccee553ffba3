"""The probability that a configuration is on the Pareto front, by draws from the fitted model.

The front of the means misleads: an arm that is worse than shortening is on it unless a shortened run happens to save as
much, or to have been lucky. Here the shortened baseline is available at every budget, with the error of its curve, and
errors are drawn with the scatter of the pooled model.
"""

from __future__ import annotations

import math

import numpy as np

from .curve import Curve
from .panel_verdicts import PanelVerdicts
from .savings import CURVE

DRAWS = 4000
PIECES = 41  # budgets at which the curve competes, in addition to its own
LIKELY = 0.5  # points with at least this probability are marked as on the front


def front_chances(one: PanelVerdicts, rng: np.random.Generator, draws: int = DRAWS) -> dict[str, float]:
    """The probability of being on the front, by label of the panel's points.

    Savings are taken as exact. Log errors of all cells are drawn around the fitted ones from a multivariate t, as for
    the intervals: with the pooled standard deviation, or a contrast's own if larger, and one chi-square for all.

    Args:
        one: The panel.
        rng: Given by the caller, so that a figure can be reproduced.
        draws: Number of draws.

    Returns:
        NaN for points without a saving or an error; {} if the scatter is not known (one seed, no curve).
    """
    curve, pooled = one.judgement.curve, one.judgement.pooled
    if curve is None or pooled is None or math.isnan(pooled.nu):
        return {}
    found = one.cells
    k = len(found.budgets)
    z, seeds, s = _fitted(one, curve)
    scale = s / np.sqrt(np.maximum(seeds, 1))
    spread = np.sqrt(pooled.nu / rng.chisquare(pooled.nu, (draws, 1)))
    drawn = z + spread * scale * rng.standard_normal((draws, len(z)))
    arms, budgets = drawn[:, k:], 1 - np.array(found.savings)
    rival = np.union1d(np.linspace(*curve.ends, PIECES), curve.budgets)
    weights = np.array([curve.weights(float(b)) for b in rival])
    best = np.minimum.accumulate(drawn[:, :k] @ weights.T, axis=1)  # the least error of the curve up to each budget

    def beaten(at: float, error: np.ndarray, itself: int | None) -> np.ndarray:
        """(draws,) whether another arm costs no more time and has less error."""
        worse = np.zeros(draws, dtype=bool)
        for c, budget in enumerate(budgets):
            if c != itself and budget <= at:
                worse |= arms[:, c] < error
        return worse

    chances = {}
    for c, (label, at) in enumerate(zip(found.arms, budgets, strict=True)):
        if math.isnan(at) or math.isnan(z[k + c]):
            continue
        worse, within = beaten(at, arms[:, c], c), int(np.searchsorted(rival, at, side="right"))
        if within:
            exact = drawn[:, :k] @ curve.weights(float(min(at, curve.ends[1])))
            worse |= np.minimum(best[:, within - 1], exact) < arms[:, c]
        chances[label] = float(1 - worse.mean())
    points = one.panel.points
    for label, saving in points.loc[points["strategy"].isin(CURVE), ["label", "predicted_saving"]].itertuples(
        index=False
    ):
        place = int(np.argmin(np.abs(rival - (1 - saving))))
        if abs(rival[place] - (1 - saving)) > 1e-5:
            continue
        error = drawn[:, :k] @ weights[place]
        worse = beaten(rival[place], error, None)
        if place:
            worse |= best[:, place - 1] < error
        chances[label] = float(1 - worse.mean())
    return chances


def _fitted(one: PanelVerdicts, curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fitted log error, number of seeds and standard deviation of each cell, the curve's cells first."""
    found, judgement = one.cells, one.judgement
    assert judgement.pooled is not None
    with np.errstate(all="ignore"):
        arms = np.array([np.nanmean(column) if (~np.isnan(column)).any() else math.nan for column in found.arm_z.T])
    s = np.full(len(found.budgets) + len(arms), judgement.pooled.common)
    for row, position in enumerate(judgement.family):
        verdict, c = judgement.verdicts[position], found.family[position]
        if verdict.n:
            arms[c] = math.log(verdict.curve_error) + verdict.difference
            s[len(found.budgets) + c] = judgement.pooled.s[row]
    z = np.concatenate([found.curve_means, arms])
    seeds = np.concatenate([(~np.isnan(cells)).sum(axis=0) for cells in (found.curve_z, found.arm_z)])
    return z, seeds, s

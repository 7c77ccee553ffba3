"""Is an arm's error lower than that of the plain network trained for as long? Verdicts from simultaneous intervals.

Pure arithmetic on log errors: `analysis.cells` takes them from runs. docs/verdicts.md has the formulae and the method's
operating characteristics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .curve import SAME, Curve, fit
from .images import Wrong, image_variance
from .pooled import LEAST, Pooled, pool, seeds_that_tell
from .two_way import TwoWay

ROUNDING = 1e-9  # runs of equal errors differ from their curve by at most this much
LEAST_BOUND = 0.01  # of the full time: no clock or profile is trusted to better than one point of saving
BETTER, WORSE, AS_GOOD, CANNOT_TELL = "better", "worse", "as good", "cannot tell"


@dataclass(frozen=True)
class Verdict:
    """One arm against the curve at its own budget. Differences are in log error: arm minus curve.

    Attributes:
        word: `better`, `worse`, `as good` or `cannot tell`; or why there is none.
        n: Seeds that have the arm and a run of the curve; 0 if the runs leave the difference untold.
        difference: NaN if there is no verdict.
        low, high: Simultaneous 95 % interval over seeds, widened by the bound on time.
        low_images, high_images: The same over seeds and evaluation images; NaN if misclassified images are not known.
        time_part: The part of the interval's half-width that comes from the bound on time.
        curve_error: The curve's error at the arm's budget, per cent.
        free_fraction: 0: as good as shortening; 1: the saving costs nothing. NaN if the curve is not above its full
            baseline there.
        seeds_that_tell: Seeds needed to detect a difference as large as the margin; None if there is no margin, or the
            bound on time exceeds it.
    """

    word: str
    n: int = 0
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    low_images: float = math.nan
    high_images: float = math.nan
    time_part: float = math.nan
    curve_error: float = math.nan
    free_fraction: float = math.nan
    seeds_that_tell: int | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdicts of a family of arms, in their order, and their basis.

    Attributes:
        curve: None if no shortened baseline has an error.
        family: Positions of the arms whose intervals hold simultaneously: all that have a contrast.
        pooled: The pooled contrasts of the family; None if it is empty.
        time_bound: The bound on time that the intervals were widened by, a fraction of the full time.
        time_bounds: (m,) of each arm: `time_bound`, or more if its time is known less accurately.
    """

    verdicts: list[Verdict]
    curve: Curve | None
    family: list[int] = field(default_factory=list)
    pooled: Pooled | None = None
    time_bound: float = LEAST_BOUND
    time_bounds: list[float] = field(default_factory=list)


def log_error(error: float | np.ndarray, images: float | np.ndarray) -> np.ndarray:
    """The logarithm of an error in per cent; an error of 0 counts as half an image."""
    return np.log(np.fmax(error, 50 / images))


def judge(
    budgets: Sequence[float],
    curve_z: np.ndarray,
    arm_budgets: Sequence[float],
    arm_z: np.ndarray,
    *,
    own_budgets: np.ndarray | None = None,
    time_bound: float = LEAST_BOUND,
    off: Sequence[float] | None = None,
    margin: float | None = None,
    diverged: Sequence[int] | None = None,
    wrong: Wrong | None = None,
) -> Judgement:
    """The verdicts of some arms.

    Args:
        budgets: The curve's k fractions of the full training, each once.
        curve_z: (seeds, k) log errors, NaN for a missing run; each budget has a run.
        arm_budgets: The arms' m budgets, 1 - saving; NaN if not known.
        arm_z: (seeds, m) log errors of the same seeds.
        own_budgets: (seeds, m) budgets of the single runs, which differ for adaptive strategies; None, or NaN for a
            budget that is not known, means `arm_budgets`.
        time_bound: How far a budget may be from the truth, a fraction of the full time; at least one point.
        off: (m,) signed difference of each arm's budget by a second measurement; NaN if there is none. Its size is the
            arm's bound if it is more than `time_bound`.
        margin: A relative difference that does not matter, 0.015 for 1.5 % of the error; None if none was fixed.
        diverged: Seeds of each arm that diverged; such an arm is neither better nor as good.
        wrong: Which images each run misclassified, by (seed's row, cell), the curve's cells first.
    """
    k, m = len(budgets), len(arm_budgets)
    bound = max(time_bound, LEAST_BOUND)
    bounds = [float(np.fmax(bound, abs(one))) for one in (off if off is not None else [math.nan] * m)]
    lost = list(diverged) if diverged is not None else [0] * m
    verdicts = [_without(float(b), bool(np.isnan(arm_z[:, c]).all()), lost[c]) for c, b in enumerate(arm_budgets)]
    if not k:
        return Judgement([one or Verdict("no curve") for one in verdicts], None, [], None, bound, bounds)
    curve = fit(tuple(budgets), curve_z[~np.isnan(curve_z).any(axis=1)])
    low, high = curve.ends
    family = [c for c, one in enumerate(verdicts) if one is None and low - bound <= arm_budgets[c] <= high + bound]
    if not family:
        return Judgement([one or Verdict("outside the curve") for one in verdicts], curve, [], None, bound, bounds)
    at = [
        min(max(arm_budgets[c], low), high) for c in family
    ]  # beyond an end but within the bound: compared with the end
    forms = np.zeros((len(family), k + m))
    for row, (c, b) in enumerate(zip(family, at, strict=True)):
        forms[row, :k] = -curve.weights(b)
        forms[row, k + c] = 1.0
    forms[np.abs(forms) < 1e-12] = 0.0
    z = np.column_stack([curve_z, arm_z])
    own = np.tile(np.asarray(arm_budgets, dtype=float), (len(z), 1))
    if own_budgets is not None:
        own = np.where(np.isnan(own_budgets), own, own_budgets)
    inside, level = np.clip(own, low, high), np.copy(z)  # level: log errors corrected to the arm's budget
    for c, b in zip(family, at, strict=True):
        level[:, k + c] -= along(curve, curve_z, b, inside[:, c])
    pooled, means = pool(forms, level), TwoWay(curve_z).means
    shared = ~np.isnan(arm_z) & ~np.isnan(curve_z).all(axis=1)[:, None]
    for row, (c, b) in enumerate(zip(family, at, strict=True)):
        slope = float(curve.slope_weights(b) @ means)
        beyond = float(np.abs(own - inside)[~np.isnan(arm_z[:, c]), c].mean())
        time_part = abs(slope / b) * (bounds[c] + beyond)
        images = image_variance(forms[row], z, wrong) if wrong else math.nan
        n = 0 if math.isnan(pooled.estimate[row]) else int(shared[:, c].sum())
        verdicts[c] = _verdict(pooled, row, n, time_part, images, margin, lost[c], curve, b, means)
    words = [one or Verdict("outside the curve") for one in verdicts]
    return Judgement(words, curve, family, pooled, bound, bounds)


def along(curve: Curve, z: np.ndarray, start: float, ends: np.ndarray) -> np.ndarray:
    """The rise of each seed's own curve from one budget to others: the difference in error due to the budget alone.

    Args:
        curve: Over k budgets.
        z: (seeds, k) log errors.
        start: The budget to begin at, for all seeds.
        ends: (seeds,) the budgets to end at.

    Returns:
        (seeds,); 0 if both budgets are equal, NaN if a run that the curve needs is missing.
    """
    rise = np.array([curve.weights(float(b)) for b in ends]) - curve.weights(start)
    rise[np.abs(ends - start) < SAME] = 0.0
    return np.where(rise == 0.0, 0.0, rise * z).sum(axis=1)


def _without(budget: float, has_no_error: bool, diverged: int) -> Verdict | None:
    """The verdict of an arm that cannot be compared with any curve; None if it may be."""
    if has_no_error:
        return Verdict("diverged" if diverged else "no error")
    return Verdict("no saving measured") if math.isnan(budget) else None


def _verdict(
    pooled: Pooled,
    row: int,
    n: int,
    time_part: float,
    images: float,
    margin: float | None,
    diverged: int,
    curve: Curve,
    budget: float,
    means: np.ndarray,
) -> Verdict:
    estimate = float(pooled.estimate[row])
    half = float(pooled.half[row]) + time_part if n > 1 else math.nan
    over_images = math.hypot(pooled.half[row], pooled.critical * math.sqrt(images)) + time_part
    on_curve = float(curve.weights(budget) @ means)
    gap = on_curve - float(curve.weights(1.0) @ means) if curve.ends[0] <= 1.0 <= curve.ends[1] else math.nan
    equal = math.log1p(margin) if margin is not None else math.nan
    needed = None
    if margin is not None and n > 1:
        needed = seeds_that_tell(float(pooled.v[row]), float(pooled.s[row]), pooled.critical, equal - time_part)
    return Verdict(
        word=_word(estimate - half, estimate + half, n, equal, bool(diverged)),
        n=n,
        difference=estimate,
        low=estimate - half,
        high=estimate + half,
        low_images=estimate - over_images if n > 1 else math.nan,
        high_images=estimate + over_images if n > 1 else math.nan,
        time_part=time_part,
        curve_error=math.exp(on_curve),
        free_fraction=-estimate / gap if gap > ROUNDING else math.nan,
        seeds_that_tell=needed,
    )


def _word(low: float, high: float, n: int, margin: float, diverged: bool) -> str:
    if n == 0:
        return "no seed in common with the whole curve"
    if n < LEAST:
        return f"under {LEAST} seeds"
    if low > ROUNDING:
        return WORSE
    if high < -ROUNDING and not diverged:
        return BETTER
    if -margin < low and high < margin and not diverged:
        return AS_GOOD
    return CANNOT_TELL

"""Is an arm's error lower than that of the plain network trained for as long? Words, from simultaneous intervals.

Pure arithmetic on log errors: `analysis.panel_verdicts` takes them from records. docs/verdicts.md holds the
formulae and the method's operating characteristics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .curve import SAME, Curve, fit
from .images import Wrong, image_variance
from .pooled import LEAST, Pooled, pool, seeds_that_tell

ROUNDING = 1e-9  # runs of equal errors differ from their curve by so much at most
LEAST_BOUND = 0.01  # of the full time: no clock or profile is trusted further than to a point of saving
BETTER, WORSE, AS_GOOD, CANNOT_TELL = "better", "worse", "as good", "cannot tell"


@dataclass(frozen=True)
class Verdict:
    """One arm against the curve at its own budget. Differences are in log error: arm minus curve.

    Attributes:
        word: `better`, `worse`, `as good` or `cannot tell`; or why there is none.
        n: Seeds that have the arm and all cells of the curve that it is set against.
        difference: NaN where there is no verdict to be had.
        low, high: Simultaneous 95 % interval over seeds, widened by the bound on time.
        low_images, high_images: The same over seeds and evaluation images; NaN where it is not known per image.
        time_part: How much of the interval's reach to each side comes from the bound on time.
        curve_error: The curve's error at the arm's budget, per cent.
        free_fraction: 0: as good as shortening; 1: the saving costs nothing. NaN where the curve has no gap there.
        seeds_that_tell: Seeds that would find a difference as large as the margin; None where there is no margin, or
            the bound on time exceeds it.
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
    """The verdicts of a family of arms, in their order, and what they rest on.

    Attributes:
        curve: None where no shortened baseline has an error.
        family: Positions of the arms whose intervals hold simultaneously: all that have a contrast.
        pooled: Of the family; None where it is empty.
        time_bound: The bound on time that the intervals were widened by, a fraction of the full time.
        time_bounds: (m,) of each arm by itself: `time_bound`, or more where its time is known less well.
    """

    verdicts: list[Verdict]
    curve: Curve | None
    family: list[int] = field(default_factory=list)
    pooled: Pooled | None = None
    time_bound: float = LEAST_BOUND
    time_bounds: list[float] = field(default_factory=list)


def log_error(error: float | np.ndarray, images: float | np.ndarray) -> np.ndarray:
    """The logarithm of an error in per cent; no error at all counts as half an image, which has one."""
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
        budgets: k fractions of the full training, the curve's; each once.
        curve_z: (seeds, k) log errors, NaN for a run that is not there; each budget has a run.
        arm_budgets: m of the arms, 1 - saving; NaN where it is not known.
        arm_z: (seeds, m) log errors of the same seeds.
        own_budgets: (seeds, m) of the single runs, which differ where a strategy decides in training; None, or NaN
            where one is not known: as `arm_budgets`.
        time_bound: How far a budget may be from the truth, a fraction of the full time; at least one point.
        off: (m,) by how much another account has each arm's budget otherwise, of either sign; NaN where there is none.
            That is the arm's bound where it is more than `time_bound`.
        margin: A relative difference that does not matter, 0.015 for 1.5 % of the error; None where none was fixed.
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
    at = [min(max(arm_budgets[c], low), high) for c in family]  # within the bound of an end: set against the end
    forms = np.zeros((len(family), k + m))
    for row, (c, b) in enumerate(zip(family, at, strict=True)):
        forms[row, :k] = -curve.weights(b)
        forms[row, k + c] = 1.0
    forms[np.abs(forms) < 1e-12] = 0.0
    z = np.column_stack([curve_z, arm_z])
    own = np.tile(np.asarray(arm_budgets, dtype=float), (len(z), 1))
    if own_budgets is not None:
        own = np.where(np.isnan(own_budgets), own, own_budgets)
    inside, level = np.clip(own, low, high), np.copy(z)  # level: as if each run had its arm's budget
    for c, b in zip(family, at, strict=True):
        level[:, k + c] -= along(curve, curve_z, b, inside[:, c])
    pooled, means = pool(forms, level), np.nanmean(curve_z, axis=0)
    for row, (c, b) in enumerate(zip(family, at, strict=True)):
        slope = float(curve.slope_weights(b) @ means)
        beyond = float(np.abs(own - inside)[~np.isnan(arm_z[:, c]), c].mean())
        time_part = abs(slope / b) * (bounds[c] + beyond)
        images = image_variance(forms[row], z, wrong) if wrong else math.nan
        verdicts[c] = _verdict(pooled, row, time_part, images, margin, lost[c], curve, b, means)
    words = [one or Verdict("outside the curve") for one in verdicts]
    return Judgement(words, curve, family, pooled, bound, bounds)


def along(curve: Curve, z: np.ndarray, start: float, ends: np.ndarray) -> np.ndarray:
    """How far each seed's own curve rises from a budget to another: what an error there has by its budget alone.

    Args:
        curve: Over k budgets.
        z: (seeds, k) log errors.
        start: The budget to begin at, for all seeds.
        ends: (seeds,) the budgets to end at.

    Returns:
        (seeds,); 0 where both are the same, NaN where a run that the curve needs is not there.
    """
    rise = np.array([curve.weights(float(b)) for b in ends]) - curve.weights(start)
    rise[np.abs(ends - start) < SAME] = 0.0
    return np.where(rise == 0.0, 0.0, rise * z).sum(axis=1)


def _without(budget: float, has_no_error: bool, diverged: int) -> Verdict | None:
    """The verdict of an arm that cannot be set against any curve; None of one that perhaps can."""
    if has_no_error:
        return Verdict("diverged" if diverged else "no error")
    return Verdict("no saving measured") if math.isnan(budget) else None


def _verdict(
    pooled: Pooled,
    row: int,
    time_part: float,
    images: float,
    margin: float | None,
    diverged: int,
    curve: Curve,
    budget: float,
    means: np.ndarray,
) -> Verdict:
    estimate, n = float(pooled.estimate[row]), int(pooled.n[row])
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
        return "no seed has all of its cells"
    if n < LEAST:
        return f"under {LEAST} seeds"
    if low > ROUNDING:
        return WORSE
    if high < -ROUNDING and not diverged:
        return BETTER
    if -margin < low and high < margin and not diverged:
        return AS_GOOD
    return CANNOT_TELL

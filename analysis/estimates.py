"""Numbers and their intervals: means over seeds, paired differences, and the verdict against the shortened curve.

Intervals are 95 %. Up to 19 seeds they are Student's t (at 3 to 5 a bootstrap's are far too narrow); from 20 on BCa
bootstrap. They are not corrected for the number of configurations that are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .savings import CURVE

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 20

MEASURES = {  # column of the table -> whether it has an interval in the points
    "error": True,
    "seconds_train": True,
    "measured_saving": True,
    "error_difference": True,
    "test_error": False,
    "train_error": False,
    "profiled_saving": False,
    "profiled_seconds": False,
    "predicted_saving": False,
    "estimated_saving": False,
}


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds with its 95 % interval.

    Attributes:
        mean: NaN where n is 0.
        low, high: NaN where n is below 2, which gives no interval.
        n: Number of seeds.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float] | np.ndarray | pd.Series, rng: np.random.Generator) -> Estimate:
    """The mean of some values with its 95 % interval.

    Args:
        values: One per seed; NaN is left out.
        rng: Draws the bootstrap's samples, from 20 values on.
    """
    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(kept.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    if kept.min() == kept.max():  # no spread to resample
        return Estimate(mean, mean, mean, n)
    if n >= BOOTSTRAP_FROM:
        low, high = stats.bootstrap((kept,), np.mean, confidence_level=CONFIDENCE, rng=rng).confidence_interval
        return Estimate(mean, float(low), float(high), n)
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * kept.std(ddof=1) / math.sqrt(n)
    return Estimate(mean, float(mean - half), float(mean + half), n)


def points(
    runs: pd.DataFrame,
    rng: np.random.Generator,
    saving: str = "measured_saving",
) -> pd.DataFrame:
    """Means over seeds: one row per configuration, in the order of the table with those of a series together.

    Args:
        runs: The runs of one panel that may enter error plots, and those that diverged, of which only the
            number counts.
        rng: For the bootstrap, from 20 seeds on.
        saving: The column by which a run is set beside the curve.

    Returns:
        The columns of `analysis.columns.POINTS`: `n` seeds with an error, and for each measure its mean under its own
        name, `_low` and `_high`, and the seeds that it is of, `_n`; the `verdict` against the shortened curve, and the
        distance from it in points of error, `against_curve`.
    """
    rows, lengths = [], runs["epochs"].nunique()
    curves = shortened_curves(runs[runs["left_out"].isna()], saving)
    for (_, label), group in _by_series(runs).groupby(["series", "label"], sort=False):
        own, first = group[group["left_out"].isna()], group.iloc[0]
        row = {"label": label, **first[["strategy", "configuration", "series", "swept", "epochs"]].to_dict()}
        row["sweep"] = "+".join(dict.fromkeys("+".join(group["sweep"]).split("+")))
        if lengths > 1:
            row["swept"] = ", ".join(filter(None, [row["swept"], f"{row['epochs']:g} epochs"]))
        row |= {"n": len(own), "diverged_seeds": int(first["diverged_seeds"])}
        for measure, has_interval in MEASURES.items():
            found = estimate(own[measure], rng)
            row[measure] = found.mean
            if has_interval:
                row |= {f"{measure}_low": found.low, f"{measure}_high": found.high, f"{measure}_n": found.n}
        rows.append(row | _verdict(own, row, curves, saving, rng))
    return pd.DataFrame(rows)


def _by_series(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with those of a series together, series and runs otherwise in the order of the table."""
    order = {name: i for i, name in enumerate(runs["series"].unique())}
    return runs.sort_values("series", key=lambda names: names.map(order), kind="stable")


def shortened_curves(runs: pd.DataFrame, by: str = "measured_saving") -> dict[int, np.ndarray]:
    """Each seed's own curve of error over saving, from its baselines and shortened runs.

    Args:
        runs: The runs of one panel.
        by: The column of savings.

    Returns:
        For each seed an array (k, 2) of savings and errors, from the fewest steps to the most. A run that the seed
        lacks is a row of NaN, so that a gap is never bridged: across a gap of a convex curve the chord lies above it.
    """
    rivals = runs[runs["strategy"].isin(CURVE)]
    wide = rivals.pivot_table(index="seed", columns="steps", values=[by, "error"], dropna=False)
    if wide.empty:
        return {}
    return {seed: np.column_stack([row[by], row["error"]]) for seed, row in wide.iterrows()}


def on_curve(curve: np.ndarray, saving: float) -> float:
    """The curve's error at a saving, linear between neighbours; NaN outside the curve.

    Where timing noise folds the curve over itself the lower error counts: the harder rival.

    Args:
        curve: (k, 2), savings and errors; rows of NaN are gaps.
        saving: A fraction, as the curve's.
    """
    found = []
    for (x0, y0), (x1, y1) in pairwise(curve):
        if min(x0, x1) <= saving <= max(x0, x1):  # false with a NaN
            found.append(min(y0, y1) if x0 == x1 else y0 + (y1 - y0) * (saving - x0) / (x1 - x0))
    return min(found, default=math.nan)


def _verdict(
    own: pd.DataFrame, row: dict[str, Any], curves: dict[int, np.ndarray], saving: str, rng: np.random.Generator
) -> dict[str, Any]:
    """Error minus the shortened curve's at the same saving, paired by seed: each seed against its own curve.

    A configuration is never "better" when one of its seeds diverged: its mean is over those that went well.
    """
    if row["strategy"] in CURVE:
        return {"verdict": "the curve" if len(own) else "diverged"}
    differences = [
        error - on_curve(curves[seed], saved) if seed in curves else math.nan
        for seed, saved, error in zip(own["seed"], own[saving], own["error"], strict=True)
    ]
    found = estimate(differences, rng)
    if own.empty:
        verdict = "diverged"
    elif own[saving].isna().all():
        verdict = "no saving measured"
    elif found.n == 0:
        verdict = "outside the curve"
    elif found.high < 0 and not row["diverged_seeds"]:
        verdict = "better"
    elif found.low > 0:
        verdict = "worse"
    else:
        verdict = "cannot tell"
    return {
        "verdict": verdict,
        "against_curve": found.mean,
        "against_curve_low": found.low,
        "against_curve_high": found.high,
        "against_curve_n": found.n,
    }


def binomial_error(error: float, images: float) -> float:
    """Standard error, in points, of an error of `error` per cent that was measured on `images` images."""
    share = error / 100
    return 100 * math.sqrt(share * (1 - share) / images)

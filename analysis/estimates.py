"""Numbers and their intervals: means over seeds, paired differences, and the verdict against the shortened curve.

Intervals are 95 %, Student's t. Those of means are not corrected for the number of configurations; those of distances
from the curve are simultaneous (`analysis.verdicts`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .cells import cells
from .pooled import CONFIDENCE
from .savings import CURVE
from .whole import judged

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
        mean: NaN if n is 0.
        low, high: NaN if n is below 2.
        n: Number of seeds.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float] | np.ndarray | pd.Series) -> Estimate:
    """The mean of some values, one per seed, with its 95 % interval; NaNs are ignored."""
    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(kept.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = _reach(n) * kept.std(ddof=1) / math.sqrt(n)
    return Estimate(mean, float(mean - half), float(mean + half), n)


@cache
def _reach(n: int) -> float:
    """The half-width of the interval of a mean over n seeds, in standard errors."""
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1))


def points(
    runs: pd.DataFrame, saving: str = "measured_saving", margin: float | None = None, *, waits: bool = False
) -> pd.DataFrame:
    """Means over seeds: one row per configuration, in the order of the table but grouped by series.

    Args:
        runs: The runs of one panel that may enter error plots, and those that diverged, which are only counted.
        saving: The column that gives a run's place on the curve.
        margin: A relative difference of the error that does not matter; None if none was fixed.
        waits: Whether runs of the sweep are still to do, so that no arm has its word (`whole`).

    Returns:
        The columns of `analysis.columns.POINTS`: `n` seeds with an error, and for each measure its mean under its own
        name, `_low` and `_high`, and its number of seeds, `_n`; the `verdict` against the shortened curve, and the
        distance from it in points of error, `against_curve`.
    """
    rows, lengths = [], runs["epochs"].nunique()
    said = _against_curve(runs, saving, margin, waits)
    for (_, label), group in _by_series(runs).groupby(["series", "label"], sort=False):
        own, first = group[group["left_out"].isna()], group.iloc[0]
        row = {"label": label, **first[["strategy", "configuration", "series", "swept", "epochs"]].to_dict()}
        row["sweep"] = "+".join(dict.fromkeys("+".join(group["sweep"]).split("+")))
        if lengths > 1:
            row["swept"] = ", ".join(filter(None, [row["swept"], f"{row['epochs']:g} epochs"]))
        row |= {"n": len(own), "diverged_seeds": int(first["diverged_seeds"])}
        for measure, has_interval in MEASURES.items():
            found = estimate(own[measure])
            row[measure] = found.mean
            if has_interval:
                row |= {f"{measure}_low": found.low, f"{measure}_high": found.high, f"{measure}_n": found.n}
        on_curve = {"verdict": "the curve" if len(own) else "diverged"}
        rows.append(row | (on_curve if row["strategy"] in CURVE else said[label]))
    return pd.DataFrame(rows)


def _by_series(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs grouped by series; series and runs otherwise stay in the order of the table."""
    order = {name: i for i, name in enumerate(runs["series"].unique())}
    return runs.sort_values("series", key=lambda names: names.map(order), kind="stable")


def _against_curve(runs: pd.DataFrame, saving: str, margin: float | None, waits: bool) -> dict[str, dict[str, Any]]:
    """The verdict of each arm, and its distance from the curve in points of error, by label."""
    found = cells(runs, saving)
    said = {
        found.arms[c]: {
            "verdict": one.word,
            "against_curve": one.curve_error * math.expm1(one.difference),
            "against_curve_low": one.curve_error * math.expm1(one.low),
            "against_curve_high": one.curve_error * math.expm1(one.high),
            "against_curve_n": one.n,
        }
        for c, one in zip(found.family, judged(found, margin, waits).verdicts, strict=True)
    }
    return {label: {"verdict": "control"} for label in found.arms} | said  # outside the family: controls only


def binomial_error(error: float, images: float) -> float:
    """Standard error, in points, of an error of `error` per cent measured on `images` images."""
    share = error / 100
    return 100 * math.sqrt(share * (1 - share) / images)

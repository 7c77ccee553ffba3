"""The numbers of the figure of verdicts: its arms, the curve's runs, and the curve."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd

from freezeout.naming import counted

from .drawn_curve import DrawnCurve
from .panel_verdicts import PanelVerdicts

COLUMNS = (
    *("kind", "name", "label", "series", "swept", "saving", "n", "diverged_seeds", "error", "error_low", "error_high"),
    *("difference", "difference_low", "difference_high", "seeds_low", "seeds_high", "time_part", "margin", "verdict"),
)


def arm_rows(one: PanelVerdicts) -> pd.DataFrame:
    """One row per arm of the family that can be set against the curve; differences in per cent of the curve's error.

    Their `error` is the curve's error at their budget times the paired difference: the geometric mean over seeds,
    corrected for the luck of the seeds if an arm lacks some of the curve's. `seeds_*` are the ends without the bound on
    time.
    """
    found, rows = one.cells, []
    points = one.panel.points.set_index("label")
    for position in one.judgement.family:
        said, c = one.judgement.verdicts[position], found.family[position]
        if not said.n:
            continue
        ends = {
            "difference": said.difference,
            "difference_low": said.low,
            "difference_high": said.high,
            "seeds_low": said.low + said.time_part,
            "seeds_high": said.high - said.time_part,
        }
        rows.append(
            {
                "kind": "arm",
                "name": one.name(c),
                "label": found.arms[c],
                **points.loc[found.arms[c], ["series", "swept"]].to_dict(),
                "saving": found.savings[c],
                "n": said.n,
                "diverged_seeds": found.diverged[c],
                "error": said.curve_error * math.exp(said.difference),
                **{name: 100 * math.expm1(value) for name, value in ends.items()},
                "time_part": 100 * math.expm1(said.time_part),
                "margin": math.nan if one.margin is None else 100 * one.margin,
                "verdict": said.word,
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    order = {name: i for i, name in enumerate(table["series"].unique())}
    return table.sort_values(
        ["series", "saving"], key=lambda c: c.map(order) if c.name == "series" else c, kind="stable"
    )


def not_drawn(*found: PanelVerdicts) -> str:
    """Lines that count the arms without a row, by reason; "" if every arm has one."""
    missing = Counter(said.word for one in found for said in one.judgement.verdicts if not said.n)
    return "".join(f"\nnot drawn: {counted(n, 'arm')}, {word}" for word, n in missing.items())


def shown(one: PanelVerdicts, curve: DrawnCurve, arms: pd.DataFrame) -> pd.DataFrame:
    """The data of the figure and its CSV: arms, the curve's runs (`budget`), and the curve (`curve`)."""
    found = one.cells
    budgets = pd.DataFrame(
        {
            "kind": "budget",
            "name": [f"budget {b:g}" for b in found.budgets],
            "saving": 1 - np.array(found.budgets),
            "n": (~np.isnan(found.curve_z)).sum(axis=0),
            "error": np.exp(found.curve_means),
        }
    )
    line = pd.DataFrame(
        {
            "kind": "curve",
            "name": curve.name,
            "saving": 1 - curve.budgets,
            "error": curve.error,
            "error_low": curve.low,
            "error_high": curve.high,
        }
    )
    parts = [part.to_dict("records") for part in (arms, budgets, line)]
    return pd.DataFrame([row for part in parts for row in part], columns=[*COLUMNS])

"""Draws a panel's verdicts: above, the curve with its band and the arms over time; below, their differences from it.

The two parts share only the arms' colours: above are errors, below are differences paired by seed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from .axes import ERRORS
from .drawn_curve import DrawnCurve, drawn_curve
from .forest import ROW, Block, Looks, draw_forest
from .intervals import limits
from .looks import CURVE_COLOUR, STYLE, marker_face, styles, write
from .panel_verdicts import PanelVerdicts
from .summary import few_images
from .verdict_rows import arm_rows, not_drawn, shown

WIDTH = 7.0  # inches


def draw_verdicts(one: PanelVerdicts, out: Path) -> list[Path]:
    """Write verdicts_<panel>.png, .svg and .csv into `out` and give their paths; [] where there is nothing to judge.

    The same panel gives the same bytes.
    """
    curve = drawn_curve(one)
    arms = arm_rows(one)
    if curve is None or arms.empty:
        return []
    stem = out / f"verdicts_{one.panel.name}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    looks = styles(one.panel.points)
    with plt.rc_context(STYLE):
        heights = [3.4, ROW * len(arms) + 1.0]
        figure = plt.figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        parts: Any = figure.subfigures(2, height_ratios=heights)  # each with margins of its own
        top, forest = parts
        _over_time(top.subplots(), one, curve, arms, looks)
        _forest(forest.subplots(), one, arms, looks)
        title = "Error above (right) or below (left) the curve's at the same training time"
        forest.suptitle(title, fontsize=10, x=0.01, ha="left")
        write(figure, shown(one, curve, arms), paths)
    return paths


def _over_time(axes: Axes, one: PanelVerdicts, curve: DrawnCurve, arms: pd.DataFrame, looks: Looks) -> None:
    """The curve with its band, the runs that it is fitted to, and the arms."""
    found, panel = one.cells, one.panel
    x = 100 * (1 - curve.budgets)
    style: dict[str, Any] = {"color": CURVE_COLOUR, "zorder": 2}
    if not np.isnan(curve.low).all():
        band: dict[str, Any] = {"color": CURVE_COLOUR, "alpha": 0.13, "linewidth": 0, "zorder": 1}
        axes.fill_between(x, curve.low, curve.high, **band, label="its 95 % band")
    axes.plot(x, curve.error, linewidth=1.4, **style, label=curve.name)
    counts = (~np.isnan(found.curve_z)).sum(axis=0)
    for budget, z, n in zip(found.budgets, found.curve_means, counts, strict=True):
        face = marker_face(CURVE_COLOUR, int(n))
        axes.plot(100 * (1 - budget), math.exp(z), "s", markersize=5, **style, **face)
    for name, own in arms.groupby("series", sort=False):
        colour, marker = looks[str(name)]
        for _, arm in own.iterrows():
            face = marker_face(colour, int(arm["n"]))
            axes.plot(100 * arm["saving"], arm["error"], marker, color=colour, markersize=7, zorder=4, **face)
    errors = [*arms["error"], *np.exp(found.curve_means), *curve.error]
    axes.set_ylim(limits(errors, [*curve.low, *curve.high], ERRORS))
    _time_scale(axes, 100 * one.judgement.time_bound)
    kind = f"profiled on {panel.profiled_on}" if panel.profiled_on else f"by the runs' clocks on {panel.devices}"
    axes.set_xlabel(f"Training time saved (%), {kind}")
    axes.set_ylabel(f"{panel.first('evaluation_split').capitalize()} error (%)")
    few = "".join(f"\n{line}" for line in few_images(panel))
    axes.set_title(f"{panel.what}, {panel.size}{few}", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="best")


def _time_scale(axes: Axes, points: float) -> None:
    """An error bar of the bound on time, in the corner that a rising curve leaves empty."""
    left, right = axes.get_xlim()
    middle = right - points - 0.03 * (right - left)
    place = blended_transform_factory(axes.transData, axes.transAxes)
    axes.errorbar(middle, 0.06, xerr=points, fmt="none", ecolor="#555555", elinewidth=0.8, capsize=2.5, transform=place)
    axes.text(
        right,
        0.09,
        f"time is known to ± {points:.1f} points",
        transform=place,
        ha="right",
        fontsize=7.5,
        color="#555555",
    )
    axes.set_xlim(left, right)


def _forest(axes: Axes, one: PanelVerdicts, arms: pd.DataFrame, looks: Looks) -> None:
    """The arms, each series named once beside what was swept in it."""
    first = ~arms["series"].duplicated().to_numpy()
    names = [f"{s}   {w}" if f else w for s, w, f in zip(arms["series"], arms["swept"], first, strict=True)]
    words = draw_forest(axes, [Block(arms, names, one.margin)], looks, f"{len(one.judgement.family)} arms")
    axes.set_xlabel(f"Per cent of the curve's error{words}{not_drawn(one)}")
    if one.margin is not None:
        axes.figure.legend(loc="outside lower center", frameon=False, fontsize=8)

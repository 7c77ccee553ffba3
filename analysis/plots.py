"""Draws a panel: error against saving or seconds, profiled or measured, with the data of each figure as CSV.

The CSV has the full numbers even if the figure cuts an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from freezeout.naming import swept_fields

from .axes import ERRORS, PROFILED, Axis, axis_of
from .comparisons import Panel
from .drawn_curve import DrawnCurve, drawn_curve
from .front_chances import LIKELY
from .intervals import bars, limits
from .labels import place
from .looks import CURVE_COLOUR, FRONT_COLOUR, STYLE, marker_face, styles, write
from .panel_verdicts import PanelVerdicts
from .pareto import Front, Point, front
from .savings import CURVE

MOST_MISSED = (
    0.1  # with clocks further off the budgets of shortened runs than this, the check would only stretch the axis
)


def panel_front(panel: Panel, x: str) -> Front:
    """The Pareto front of a panel's mean points; points are named by their label."""
    axis = axis_of(panel, x)
    marks = [Point(p["label"], p[axis.column], p["error"]) for p in panel.points.to_dict("records")]
    return front(marks, more_is_better=axis.more_is_better)


def shown(panel: Panel, x: str, chances: Mapping[str, float]) -> pd.DataFrame:
    """The data of the figure and its CSV: the points that have an x, and which are on the front."""
    found = panel_front(panel, x)
    table = panel.points[panel.points[axis_of(panel, x).column].notna()].copy()
    table["on_front"] = table["label"].isin([p.name for p in found.members])
    table["front_probability"] = table["label"].map(chances).astype(float)
    return table


def draw(one: PanelVerdicts, x: str, out: Path, chances: Mapping[str, float]) -> list[Path]:
    """Write pareto_<panel>_<x>.png, .svg and .csv into `out` and give their paths; [] when no point has that x.

    The same panel and chances give the same bytes.

    Args:
        one: The panel with its verdicts, whose curve is drawn.
        x: The horizontal axis, one of AXES.
        out: The folder to write into.
        chances: As `front_chances` gives them; if empty, the front of the means is drawn.
    """
    panel = one.panel
    table, axis = shown(panel, x, chances), axis_of(panel, x)
    if table.empty:
        return []
    is_misleading = axis.check is not None and one.clocks > MOST_MISSED
    if is_misleading:
        axis = replace(axis, check=None)
    stem = out / f"pareto_{panel.name}_{x}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    with plt.rc_context(STYLE):
        height = 4.1 + 0.11 * table["series"].nunique()  # inches; the legend below takes a line for every two series
        width = min(10, 6.6 + 0.15 * max(0, len(table) - 16))  # so that words find room beside many points
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        _limit(axes, panel, table, axis)
        if chances:
            _likely(axes, table, axis)
        else:
            _front(axes, panel_front(panel, x), axis)
        looks = styles(panel.points)
        for name, points in table.groupby("series", sort=False):
            _series(axes, points, panel.runs[panel.runs["series"] == name], axis, *looks[str(name)])
        curve = _curve(axes, drawn_curve(one), table, axis)
        _check(axes, table, axis, looks)
        clocks = f"\nthe runs' own clocks, {100 * one.clocks:.0f} points off, are not drawn" if is_misleading else ""
        _words(axes, panel, table, axis, clocks)
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        figure.draw_without_rendering()  # settles the layout, so that words can be placed
        _swept(axes, table, axis, curve, looks)
        write(figure, table, paths)
    return paths


def _series(axes: Axes, points: pd.DataFrame, runs: pd.DataFrame, axis: Axis, colour: str, marker: str) -> None:
    """The points of one series with their intervals, and the single seeds faint behind."""
    x, y = points[axis.column] * axis.factor, points["error"]
    faint: dict[str, Any] = {"color": colour, "alpha": 0.35, "markersize": 4, "markeredgewidth": 0, "zorder": 2}
    axes.plot(runs[axis.column] * axis.factor, runs["error"], marker, **faint)
    style: dict[str, Any] = {"ecolor": colour, "elinewidth": 0.8, "capsize": 2, "alpha": 0.6, "zorder": 3}
    along = tuple(points[f"error_{end}"].to_numpy() for end in ("low", "high"))
    bounds = {"x": axis.bounds, "y": ERRORS}
    bars(axes, x.to_numpy(), y.to_numpy(), across=_ends(points, axis), along=along, bounds=bounds, **style)
    field = next(iter(swept_fields(points["strategy"].iloc[0])), None)
    by = {"t_0": ", by $t_0$", None: ""}.get(field, f", by {str(field).replace('_', ' ')}")
    label = f"{points['series'].iloc[0]}{by}"
    for at, error, n in zip(x, y, points["n"], strict=True):
        axes.plot(at, error, marker, color=colour, markersize=7, zorder=4, **marker_face(colour, n))
    axes.plot([], [], marker, color=colour, markersize=7, **marker_face(colour, points["n"].max()), label=label)


def _ends(points: pd.DataFrame, axis: Axis) -> tuple[np.ndarray, np.ndarray] | None:
    """The ends of the intervals in x; None if there are none: profiled savings are the same for all seeds."""
    if f"{axis.column}_low" not in points:
        return None
    low, high = (points[f"{axis.column}_{end}"].to_numpy() * axis.factor for end in ("low", "high"))
    return low, high


def _limit(axes: Axes, panel: Panel, table: pd.DataFrame, axis: Axis) -> None:
    """Set the axes' limits from means, single seeds and the runs' own clocks, and from intervals of sane width."""
    runs = panel.runs[panel.runs[axis.column].notna()]
    checks = table[axis.check] * axis.factor if axis.check is not None else ()
    x = [*table[axis.column] * axis.factor, *runs[axis.column] * axis.factor, *checks]
    ends = _ends(table, axis)
    axes.set_xlim(limits(x, np.concatenate(ends) if ends else (), axis.bounds))
    y = [*table["error"], *runs["error"]]
    axes.set_ylim(limits(y, [*table["error_low"], *table["error_high"]], ERRORS))


def _swept(axes: Axes, table: pd.DataFrame, axis: Axis, curve: np.ndarray, styles: dict[str, tuple[str, str]]) -> None:
    """The swept value (t_0, budget) beside each point."""
    words, lines = [], [curve]
    for _, point in table.iterrows():
        x = point[axis.column] * axis.factor
        lines.append(np.array([[x, point["error_low"]], [x, point["error_high"]]]))
        if axis.check is not None and pd.notna(point[axis.check]):
            lines.append(np.array([[x, point["error"]], [point[axis.check] * axis.factor, point["error"]]]))
        if point["swept"]:
            text = point["swept"].partition("=")[2] or point["swept"]
            words.append((text, x, point["error"], styles[point["series"]][0]))
    place(axes, words, lines)


def _curve(axes: Axes, fitted: DrawnCurve | None, table: pd.DataFrame, axis: Axis) -> np.ndarray:
    """The curve that is fitted to the baseline and its shortened runs, and its band; gives its vertices (k, 2).

    Where none is fitted, as without a second budget, the means are joined.
    """
    rivals = table[table["strategy"].isin(CURVE)].sort_values(axis.column)
    joined = np.column_stack([rivals[axis.column] * axis.factor, rivals["error"]])
    if fitted is None:
        if len(joined) > 1:
            axes.plot(*joined.T, "--", color=CURVE_COLOUR, linewidth=1.2, zorder=3, label="the curve to beat")
        return joined
    x = axis.factor * _place(fitted.budgets, rivals, axis)
    if not np.isnan(fitted.low).all():
        band: dict[str, Any] = {"color": CURVE_COLOUR, "alpha": 0.12, "linewidth": 0, "zorder": 1}
        axes.fill_between(x, fitted.low, fitted.high, **band, label="its 95 % band (scatter within seeds)")
    axes.plot(x, fitted.error, "-", color=CURVE_COLOUR, linewidth=1.2, zorder=3, label=fitted.name)
    return np.column_stack([x, fitted.error])


def _place(budgets: np.ndarray, rivals: pd.DataFrame, axis: Axis) -> np.ndarray:
    """Budgets converted to the unit of the axis' column: a budget is the share of the full baseline's time."""
    if axis.more_is_better:
        return 1 - budgets
    whole = rivals[axis.column].sum() / (1 - rivals["predicted_saving"]).sum()  # seconds of the full baseline
    return budgets * float(whole)


def _front(axes: Axes, found: Front, axis: Axis) -> None:
    """A step: the least error reached at this saving or more (within these seconds or fewer)."""
    x, y = [p.x * axis.factor for p in found.members], [p.error for p in found.members]
    side = "steps-pre" if axis.more_is_better else "steps-post"
    axes.plot(x, y, color=FRONT_COLOUR, linewidth=4, drawstyle=side, zorder=1, label="Pareto front of the means")


def _likely(axes: Axes, table: pd.DataFrame, axis: Axis) -> None:
    """A halo around each point that is on the front with probability LIKELY or more."""
    likely = table[table["front_probability"] >= LIKELY]
    halo: dict[str, Any] = {"color": FRONT_COLOUR, "markersize": 15, "markeredgewidth": 0, "zorder": 1.5}
    x, label = likely[axis.column] * axis.factor, f"on the Pareto front with probability {100 * LIKELY:.0f} % or more"
    axes.plot(x, likely["error"], "o", **halo, label=label)


def _check(axes: Axes, table: pd.DataFrame, axis: Axis, styles: dict[str, tuple[str, str]]) -> None:
    """For each profiled point, a bar at the mean measured by the runs' own clocks and a line to it."""
    if axis.check is None:
        return
    label: str | None = "the same, measured by the runs' clocks"
    for _, point in table[table[axis.check].notna()].iterrows():
        x = [point[axis.column] * axis.factor, point[axis.check] * axis.factor]
        colour = styles[point["series"]][0]
        axes.plot(x, [point["error"]] * 2, ":", color=colour, linewidth=1, zorder=3)
        axes.plot(x[1], point["error"], "|", color=colour, markersize=9, markeredgewidth=1.4, zorder=4, label=label)
        label = None


def _words(axes: Axes, panel: Panel, table: pd.DataFrame, axis: Axis, clocks: str) -> None:
    cut = "\narrow heads: the interval is longer" if any(line.get_gid() == "cut" for line in axes.lines) else ""
    interval = "means with 95 % t intervals, single seeds faint"
    if panel.points["n"].max() == 1:
        interval = "one seed per point, so no intervals"
    elif (table["n"] == 1).any():
        interval += ", hollow: one seed"
    source = f"profiled on {panel.profiled_on}" if axis.column in PROFILED.values() else f"measured on {panel.devices}"
    axes.set_xlabel(f"{axis.label}\n{source}, {panel.seeds}{clocks}{cut}")
    axes.set_ylabel(f"{panel.first('evaluation_split').capitalize()} error (%)")
    axes.set_title(
        f"{panel.what}\n{panel.size}\n{interval}",
        fontsize=10,
        loc="left",
    )

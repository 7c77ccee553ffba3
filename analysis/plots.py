"""Draws a panel: error against saving or seconds, profiled or measured, and writes beside each figure what it shows.

The CSV beside a figure has the numbers as they are, also where the figure cuts an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freezeout.naming import swept_fields
from freezeout.records import replacing

from .comparisons import Panel
from .intervals import bars, limits
from .labels import place
from .pareto import Front, Point, front
from .savings import CURVE

# Okabe and Ito's palette, which colour-blind readers tell apart, with markers distinct in greyscale. There are seven
# markers and six colours: 42 series before a pair comes back. Squares and diamonds are the curve's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "^", "v", "P", "X", "p", "*")
CURVE_COLOUR = "#222222"
FRONT_COLOUR = "#f2dc6b"
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "svg.hashsalt": "freezeout",  # fixed ids: the same data give the same bytes
}
NO_DATE = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Axis:
    """What error is drawn against.

    Attributes:
        column: Of the points and the runs.
        factor: From the column's unit to the axis'.
        more_is_better: True for savings, false for seconds.
        label: The axis' label, without the device.
        bounds: The least and the largest possible value, in the axis' unit.
        check: Column of the runs' own clocks, where the axis is profiled on their device.
    """

    column: str
    factor: float
    more_is_better: bool
    label: str
    bounds: tuple[float, float]
    check: str | None = None


AXES = {
    "saving": Axis("measured_saving", 100, True, "Training time saved relative to the baseline (%)", (-np.inf, 100)),
    "seconds": Axis("seconds_train", 1, False, "Training time of a run (s)", (0, np.inf)),
}
ERRORS = (0, 100)  # the least and the largest possible error, per cent
PROFILED = {"saving": "profiled_saving", "seconds": "profiled_seconds"}


def axis_of(panel: Panel, x: str) -> Axis:
    """Profiled where the panel's savings are (seconds: where a profile's are at hand too), else measured."""
    axis, column = AXES[x], PROFILED[x]
    if panel.profiled_on is None or panel.drawn[column].isna().any():
        return axis
    check = axis.column if panel.profiled_on == panel.first("device") else None
    return replace(axis, column=column, check=check)


def panel_front(panel: Panel, x: str) -> Front:
    """The Pareto front of a panel's mean points; points are named by their label."""
    axis = axis_of(panel, x)
    marks = [Point(p["label"], p[axis.column], p["error"]) for p in panel.points.to_dict("records")]
    return front(marks, more_is_better=axis.more_is_better)


def shown(panel: Panel, x: str) -> pd.DataFrame:
    """What the figure shows and the CSV beside it holds: the points that have an x, and which are on the front."""
    found = panel_front(panel, x)
    table = panel.points[panel.points[axis_of(panel, x).column].notna()].copy()
    table["on_front"] = table["label"].isin([p.name for p in found.members])
    return table


def draw(panel: Panel, x: str, out: Path) -> list[Path]:
    """Write pareto_<panel>_<x>.png, .svg and .csv into `out` and give their paths; [] when no point has that x.

    The same panel gives the same bytes.
    """
    table, axis = shown(panel, x), axis_of(panel, x)
    if table.empty:
        return []
    stem = out / f"pareto_{panel.name}_{x}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    with plt.rc_context(STYLE):
        height = 4.1 + 0.11 * table["series"].nunique()  # inches; the legend below takes a line for every two series
        figure, axes = plt.subplots(figsize=(6.6, height), layout="constrained")
        _limit(axes, panel, table, axis)
        _front(axes, panel_front(panel, x), axis)
        styles = _styles(table)
        for name, points in table.groupby("series", sort=False):
            _series(axes, points, panel.runs[panel.runs["series"] == name], axis, *styles[str(name)])
        curve = _curve(axes, table, axis)
        _check(axes, table, axis, styles)
        _words(axes, panel, axis)
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        figure.draw_without_rendering()  # settles the layout, so that words can be placed
        _swept(axes, table, axis, curve, styles)
        write(figure, table, paths)
    return paths


def write(figure: Figure, table: pd.DataFrame, paths: Sequence[Path], dpi: int = 200) -> None:
    """The figure in the formats of all `paths` but the last, its numbers there as CSV; the figure is closed."""
    *pictures, numbers = paths
    for path in pictures:
        kind = path.suffix[1:]
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=dpi, metadata=NO_DATE[kind])
    plt.close(figure)
    with replacing(numbers) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def _styles(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and marker of each series; black is kept for the baseline and its shortened curve."""
    styles, used = {}, 0
    for _, row in table.drop_duplicates("series").iterrows():
        if row["strategy"] in CURVE:
            styles[row["series"]] = (CURVE_COLOUR, "D" if row["strategy"] == "baseline" else "s")
        else:
            styles[row["series"]] = (COLOURS[used % len(COLOURS)], MARKERS[used % len(MARKERS)])
            used += 1
    return styles


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
    mean: dict[str, Any] = {
        "color": colour,
        "markersize": 7,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
        "zorder": 4,
    }
    axes.plot(x, y, marker, **mean, label=f"{points['series'].iloc[0]}{by}")


def _ends(points: pd.DataFrame, axis: Axis) -> tuple[np.ndarray, np.ndarray] | None:
    """The ends of the intervals in x; None where there are none: profiled savings do not differ from seed to seed."""
    if f"{axis.column}_low" not in points:
        return None
    low, high = (points[f"{axis.column}_{end}"].to_numpy() * axis.factor for end in ("low", "high"))
    return low, high


def _limit(axes: Axes, panel: Panel, table: pd.DataFrame, axis: Axis) -> None:
    """Set the axes' limits by means, single seeds and the runs' own clocks, and by intervals where they are sane."""
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


def _curve(axes: Axes, table: pd.DataFrame, axis: Axis) -> np.ndarray:
    """The baseline and its shortened runs, connected; gives the vertices (k, 2)."""
    rivals = table[table["strategy"].isin(CURVE)].sort_values(axis.column)
    curve = np.column_stack([rivals[axis.column] * axis.factor, rivals["error"]])
    if len(curve) > 1:
        axes.plot(*curve.T, "--", color=CURVE_COLOUR, linewidth=1.2, zorder=3, label="the curve to beat")
    return curve


def _front(axes: Axes, found: Front, axis: Axis) -> None:
    """A step: the least error that is to be had at this saving or more (within these seconds or fewer)."""
    x, y = [p.x * axis.factor for p in found.members], [p.error for p in found.members]
    side = "steps-pre" if axis.more_is_better else "steps-post"
    axes.plot(x, y, color=FRONT_COLOUR, linewidth=4, drawstyle=side, zorder=1, label="Pareto front of the means")


def _check(axes: Axes, table: pd.DataFrame, axis: Axis, styles: dict[str, tuple[str, str]]) -> None:
    """Beside each profiled point what the runs' own clocks say: a bar at the measured mean, and a line to it."""
    if axis.check is None:
        return
    label: str | None = "the same, measured by the runs' clocks"
    for _, point in table[table[axis.check].notna()].iterrows():
        x = [point[axis.column] * axis.factor, point[axis.check] * axis.factor]
        colour = styles[point["series"]][0]
        axes.plot(x, [point["error"]] * 2, ":", color=colour, linewidth=1, zorder=3)
        axes.plot(x[1], point["error"], "|", color=colour, markersize=9, markeredgewidth=1.4, zorder=4, label=label)
        label = None


def _words(axes: Axes, panel: Panel, axis: Axis) -> None:
    cut = "\narrow heads: the interval goes on" if any(line.get_gid() == "cut" for line in axes.lines) else ""
    interval = "means with 95 % t intervals, single seeds faint"
    if panel.points["n"].max() == 1:
        interval = "one seed per point, so no intervals"
    source = (
        f"profiled on {panel.profiled_on}"
        if axis.column in PROFILED.values()
        else f"measured on {panel.first('device')}"
    )
    axes.set_xlabel(f"{axis.label}\n{source}, {panel.seeds}{cut}")
    axes.set_ylabel(f"{panel.first('evaluation_split').capitalize()} error (%)")
    axes.set_title(
        f"{panel.first('model')} on {panel.first('dataset')}\n{panel.size}; {interval}",
        fontsize=10,
        loc="left",
    )

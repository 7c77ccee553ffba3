"""The paper's Figures 2 to 5 in its form, plus what it lacks: shortened baselines, intervals and measured time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from freezeout.naming import counted

from .looks import COLOURS, CURVE_COLOUR, FRONT_COLOUR, MARKERS, marker_face
from .paper import EPOCHS, ESTIMATED, SECONDS, Axis, Figure, points_of, read_off, runs_of
from .paper_layout import SMALL, Sheet, draw_nothing
from .presets import Chosen
from .savings import CURVE

STRATEGIES = [f"FreezeOut {how} {rates}" for how in ("cubic", "linear") for rates in ("scaled", "unscaled")]
COLUMNS = (
    *("source", "preset", "series", "t_0", "swept", "epochs", "n", "diverged_seeds"),
    *("error", "error_low", "error_high", "error_sd"),
    *("estimated_saving", "predicted_saving", "measured_saving", "measured_saving_low", "measured_saving_high"),
    *("seconds_train", "seconds_train_low", "seconds_train_high", "error_difference", "error_difference_low"),
    *("error_difference_high", "verdict", "against_curve", "against_curve_low", "against_curve_high", "papers_x"),
)
UNITS = ((120 * 60, 3600.0, "hours"), (300, 60.0, "minutes"), (0, 1.0, "s"))  # from so many seconds on


def draw_figure(
    figure: Figure, table: pd.DataFrame, chosen: Chosen, out: Path, *, unfinished: bool = False
) -> list[Path]:
    """Write figure<number>.png, .svg, .pdf and .csv; a figure without runs states the reason instead.

    Args:
        figure: Which one.
        table: The runs below `chosen.root`, as `load` gives them.
        chosen: Where the figure's runs are.
        out: The folder to write into.
        unfinished: Judge arms although runs of their sweep are still to do.

    Returns:
        The paths written.
    """
    runs = runs_of(figure, table, chosen.sweep)
    stem = out / figure.sweep
    if runs.empty:
        quick = ", quick" if chosen.sweep == "quick" else ""
        heading = f"Figure {figure.number}{quick}: not drawn\n({figure.title})"
        return draw_nothing(heading, why_empty(figure, chosen), [*COLUMNS], stem)
    to_do = table["to_do"] & table["sweep"].eq(chosen.sweep)
    made = points_of(runs, waits=bool(to_do.any()) and not unfinished)
    theirs = read_off(figure) if figure.at_papers_size(runs) else read_off(figure).iloc[:0]
    names = list(dict.fromkeys(made["series"]))
    entries = len(names) + 1 + (figure.tolerance is not None) + (len(theirs) > 0)
    absent = absent_text(table, chosen.sweep)
    words = " ".join(filter(None, [note(figure, runs, made, theirs), absent]))
    sheet = Sheet(title(figure, runs), words, 2, legend=(entries + 1) // 2)
    with plt.rc_context(SMALL):
        for i, (axes, axis) in enumerate(zip(sheet.panels, figure.axes, strict=True)):
            panel(axes, axis, figure, made, theirs if i == 0 else theirs.iloc[:0])
            axes.set_title(f"({'ab'[i]})", loc="left")
            axes.set_ylabel(f"{str(runs['evaluation_split'].iloc[0]).capitalize()} error (%)")
        named: dict[str, Any] = {}
        for axes in sheet.panels:  # not all of them show every series
            named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        where: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": sheet.legend_at}
        sheet.figure.legend(
            named.values(), named.keys(), **where, ncols=2, frameon=False, handlelength=1.4, columnspacing=1.2
        )
    return sheet.finish(rows(made, theirs, chosen), stem)


def title(figure: Figure, runs: pd.DataFrame) -> str:
    """The paper's title for runs of its size; else network and data by their names in commands."""
    if figure.at_papers_size(runs):
        up_to = "up to " if runs["epochs"].nunique() > 1 else ""
        return f"Figure {figure.number}: {figure.title}, {up_to}{runs['epochs'].max():g} epochs"
    where = f"{runs['model'].iloc[0]} on {runs['dataset'].iloc[0]}"
    return f"Figure {figure.number}, quick: {where},\nnot the paper's size"


def why_empty(figure: Figure, chosen: Chosen) -> str:
    """Why a figure has no runs, and the command that trains them."""
    if chosen.sweep == "quick" and not figure.in_quick:
        return (
            f"Nothing honest to draw at quick size. Figure {figure.number} is Figure 2's network on another data set, "
            f"and quick has one data set, digits. python -m freezeout -m sweeps={figure.sweep} trains it."
        )
    return f"No finished run of sweep {chosen.sweep} yet. python -m freezeout -m sweeps={chosen.sweep} trains them."


def note(figure: Figure, runs: pd.DataFrame, made: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """What the reader must know about the points, in sentences."""
    few, many = int(made["n"].min()), int(made["n"].max())
    seeds = f"{few} to {many} seeds per point (hollow and without bars: one)"
    if few == many:
        seeds = f"{counted(many, 'seed')} per point"
    parts = [
        f"Coloured: FreezeOut. {seeds.capitalize()}; bars: 95 % t intervals over seeds, the baseline's too; "
        "shading: one standard deviation."
    ]
    if SECONDS in figure.axes:
        parts.append("Each point is a whole run of another length, so the baseline's curve is the shortened baseline.")
    elif ESTIMATED in figure.axes:
        parts.append("The paper's estimate says nothing of shortened runs, so that (a) has no curve to beat.")
    parts.append(f"Measured on {runs['device'].iloc[0]}.")
    known = len(read_off(figure)) > 0
    if len(theirs):
        scaled = ", minutes scaled so that the longest baselines meet" if SECONDS in figure.axes else ""
        parts.append(f"Faint: the paper's own points, read off its figure by eye{scaled}.")
    elif known:
        parts.append("The paper's own points are of another network and data set and left out.")
    else:
        parts.append(f"No points of the paper's Figure {figure.number} have been read off.")
    images = runs["evaluation_images"].iloc[0]
    if images < 2000:
        parts.append(f"Smoke data: {images:.0f} test images are too few.")
    return " ".join(parts)


def absent_text(table: pd.DataFrame, sweep: str) -> str:
    """How many runs of a sweep are missing; "" if none."""
    own = table[table["sweep"] == sweep]
    absent = int((own["status"] != "done").sum())
    return f"Not whole: {absent} of the sweep's {counted(len(own), 'run')} are missing or failed." if absent else ""


def panel(axes: Axes, axis: Axis, figure: Figure, made: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Draw error against one axis: every series with its intervals, and the paper's points faint behind them.

    Args:
        axes: Where to draw.
        axis: What error is drawn against.
        figure: Which one.
        made: Our points, as `points_of` gives them.
        theirs: The paper's, as `read_off` gives them; empty where they are not shown.
    """
    unit, factor = "", axis.factor
    if axis is SECONDS:
        longest = made["seconds_train"].max()
        divisor, name = next((d, n) for least, d, n in UNITS if longest >= least)
        unit, factor = f" ({name})", 1 / divisor
    base = made[made["strategy"] == "baseline"].sort_values("epochs").iloc[-1:]
    if figure.tolerance is not None and len(base):
        error = base["error"].iloc[0]
        band: dict[str, Any] = {"color": FRONT_COLOUR, "alpha": 0.6, "lw": 0, "zorder": 0}
        words = f"within {figure.tolerance:g} % of the baseline's error"
        axes.axhspan(error, error * (1 + figure.tolerance / 100), **band, label=words)
    scale = 1.0
    if axis is SECONDS and len(theirs) and len(base):
        scale = base["seconds_train"].iloc[0] * factor / theirs.loc[theirs["series"] == "baseline", "x"].max()
    for i, (name, own) in enumerate(theirs.groupby("series", sort=False)):
        label = "the paper's points" if i == 0 else None
        colour, marker = look(str(name))
        faint: dict[str, Any] = {"color": colour, "alpha": 0.3, "ms": 3, "lw": 0.6, "mew": 0, "zorder": 1}
        axes.plot(own["x"] * scale, own["error"], f"-{marker}", **faint, label=label)
    curve = made[made["strategy"].isin(CURVE) & made[axis.column].notna()].sort_values(axis.column)
    if len(curve) > 1:
        x = curve[axis.column] * factor
        axes.plot(x, curve["error"], "--", color=CURVE_COLOUR, lw=0.8, zorder=2, label="the curve to beat")
    for name, own in made.groupby("series", sort=False):
        series(axes, str(name), own[own[axis.column].notna()].sort_values(axis.column), axis.column, factor)
    axes.set_xlabel(axis.label + unit)
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))  # an interval may reach below 0, errors and seconds cannot
    if axis in (SECONDS, EPOCHS):
        axes.set_xlim(left=0)


def series(axes: Axes, name: str, own: pd.DataFrame, column: str, factor: float) -> None:
    """The points of one series with their intervals, joined by a line, and one standard deviation shaded.

    Args:
        axes: Where to draw.
        name: The series, as the table calls it.
        own: Its points that have an x, sorted by it.
        column: Their x, times `factor`.
        factor: From the column's unit to the axis'.
    """
    if own.empty:
        return
    colour, marker = look(name)
    x, y, sd = own[column] * factor, own["error"], own["error_sd"]
    bars: dict[str, Any] = {"elinewidth": 0.6, "capsize": 1.5, "capthick": 0.6, "alpha": 0.7, "zorder": 3}
    bars["yerr"] = [y - own["error_low"], own["error_high"] - y]
    if f"{column}_low" in own:
        bars["xerr"] = [x - own[f"{column}_low"] * factor, own[f"{column}_high"] * factor - x]
    axes.errorbar(x, y, **bars, fmt="none", ecolor=colour)
    rival = own["strategy"].iloc[0] in CURVE
    if len(own) > 1:
        axes.fill_between(x, y - sd, y + sd, color=colour, alpha=0.15, lw=0, zorder=1)
    else:
        axes.vlines(x, y - sd, y + sd, color=colour, alpha=0.15, lw=6, zorder=1)
    if not rival:
        axes.plot(x, y, color=colour, lw=0.9, zorder=4)
    label: str | None = name.removeprefix("FreezeOut ") + range_of(own)
    for n, some in own.groupby(own["n"] > 1):
        style: dict[str, Any] = {"color": colour, "ms": 4, "zorder": 4, **marker_face(colour, 2 if n else 1, 0.5)}
        axes.plot(some[column] * factor, some["error"], marker, ls="", **style, label=label)
        label = None


def range_of(own: pd.DataFrame) -> str:
    """`, $t_0$ = 0.8`, or the largest and the smallest t_0 of a series, for its legend."""
    values = sorted(own["t_0"].dropna().unique())
    if not values:
        return ""
    return f", $t_0$ = {values[0]:g}" if len(values) == 1 else f", $t_0$ {values[-1]:g} to {values[0]:g}"


def look(name: str) -> tuple[str, str]:
    """Colour and marker: the same for a strategy in every figure."""
    if name not in STRATEGIES:
        return CURVE_COLOUR, "D" if name == "baseline" else "s"
    i = STRATEGIES.index(name)
    return COLOURS[i], MARKERS[i]


def rows(made: pd.DataFrame, theirs: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """The rows of the CSV: our points, then the paper's if drawn."""
    ours = made.assign(source="runs", preset=chosen.preset).reindex(columns=[*COLUMNS])
    paper = theirs.rename(columns={"x": "papers_x"}).assign(source="paper, read off")
    # Not pd.concat, which would guess the type of columns that only one side fills.
    return pd.DataFrame([*ours.to_dict("records"), *paper.to_dict("records")], columns=[*COLUMNS])

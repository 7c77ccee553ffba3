"""Draws a panel's verdicts: the curve with its band and the arms over time; below, their differences from the curve.

The two parts share nothing but the arms' colours: above, what a run's error is; below, what the paired seeds say of it.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from freezeout.naming import counted

from .axes import ERRORS
from .drawn_curve import DrawnCurve, drawn_curve
from .intervals import limits, mark_cuts
from .looks import CURVE_COLOUR, MARGIN_COLOUR, STYLE, marker_face, styles, write
from .panel_verdicts import PanelVerdicts
from .summary import few_images
from .verdict_rows import arm_rows, shown

WIDTH = 7.0  # inches
ROW = 0.185  # inches that an arm takes in the forest


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


def _over_time(axes: Axes, one: PanelVerdicts, curve: DrawnCurve, arms: pd.DataFrame, looks: dict[str, Any]) -> None:
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
    kind = (
        f"profiled on {panel.profiled_on}" if panel.profiled_on else f"by the runs' clocks on {panel.first('device')}"
    )
    axes.set_xlabel(f"Training time saved (%), {kind}")
    axes.set_ylabel(f"{panel.first('evaluation_split').capitalize()} error (%)")
    few = "".join(f"\n{line}" for line in few_images(panel))
    axes.set_title(f"{panel.first('model')} on {panel.first('dataset')}, {panel.size}{few}", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="best")


def _time_scale(axes: Axes, points: float) -> None:
    """A bar as long as a saving may be off to both sides, in the corner that a rising curve leaves free."""
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


def _forest(axes: Axes, one: PanelVerdicts, arms: pd.DataFrame, looks: dict[str, Any]) -> None:
    """A row per arm: its difference, the interval over seeds, and thin what the bound on time adds to it."""
    y = np.arange(len(arms), dtype=float)
    ends = np.concatenate([arms[f"difference_{end}"] for end in ("low", "high")])
    margin = [] if one.margin is None else [100 * one.margin, -100 * one.margin]
    axes.set_xlim(limits([0.0, *margin, *arms["difference"]], ends))
    if one.margin is not None:
        band = f"as good: within the margin, {100 * one.margin:g} % of the error"
        axes.axvspan(*sorted(margin), color=MARGIN_COLOUR, linewidth=0, zorder=0, label=band)
    axes.axvline(0, color=CURVE_COLOUR, linewidth=1.2, zorder=2)
    middle = arms["difference"].to_numpy()
    colours = [looks[str(name)][0] for name in arms["series"]]
    for i, (_, arm) in enumerate(arms.iterrows()):
        colour, marker = looks[arm["series"]]
        axes.plot([arm["difference_low"], arm["difference_high"]], [i, i], color=colour, linewidth=0.8, zorder=3)
        if not math.isnan(arm["difference_low"]):
            axes.plot(
                [arm["seeds_low"], arm["seeds_high"]],
                [i, i],
                color=colour,
                linewidth=3,
                alpha=0.55,
                solid_capstyle="butt",
                zorder=3,
            )
            low, high = (np.array([arm[f"difference_{end}"]]) for end in ("low", "high"))
            mark_cuts(axes, "x", middle[i : i + 1], y[i : i + 1], low, high, colour)
        axes.plot(
            arm["difference"], i, marker, color=colour, markersize=6, zorder=4, **marker_face(colour, int(arm["n"]))
        )
    axes.set_ylim(len(arms) - 0.4, -0.6)
    first = ~arms["series"].duplicated().to_numpy()
    names = [f"{s}   {w}" if f else w for s, w, f in zip(arms["series"], arms["swept"], first, strict=True)]
    axes.set_yticks(y, names, fontsize=8)
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    _words_beside(axes, arms)
    axes.set_xlabel(_forest_label(one, arms, any(line.get_gid() == "cut" for line in axes.lines)))
    if one.margin is not None:
        axes.figure.legend(loc="outside lower center", frameon=False, fontsize=8)


def _forest_label(one: PanelVerdicts, arms: pd.DataFrame, is_cut: bool) -> str:
    """What the axis is, what the intervals are, and which arms have no row."""
    words, over = "Per cent of the curve's error", len(one.judgement.family)
    if arms["difference_low"].notna().any():
        words += f"; simultaneous 95 % intervals over {over} arms,\nthin: what the bound on time adds"
        words += "; arrow heads: the interval goes on" if is_cut else ""
    else:
        words += "; one seed: no intervals"
    missing = Counter(said.word for said in one.judgement.verdicts if not said.n)
    return words + "".join(f"\nnot drawn: {counted(n, 'arm')}, {word}" for word, n in missing.items())


def _words_beside(axes: Axes, arms: pd.DataFrame) -> None:
    """To the right of the axes: the seeds and the verdict of each arm."""
    side = blended_transform_factory(axes.transAxes, axes.transData)
    n = arms["n"]
    for i, (_, arm) in enumerate(arms.iterrows()):
        lost = f", {arm['diverged_seeds']} diverged" if arm["diverged_seeds"] else ""
        seeds = f" (n = {arm['n']})" if n.nunique() > 1 and not arm["verdict"].startswith("under") else ""
        bold = "bold" if arm["verdict"] in ("better", "worse", "as good") else "normal"
        axes.text(
            1.02,
            i,
            f"{arm['verdict']}{seeds}{lost}",
            transform=side,
            va="center",
            fontsize=8,
            fontweight=bold,
            color="#333333",
        )

"""Draws the savings stated beforehand against the savings found; they are equal on the diagonal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .comparisons import Panel
from .intervals import limits
from .looks import COLOURS, CURVE_COLOUR, STYLE, marker_face, write
from .savings import CURVE

SAID = {  # column -> colour, marker, its size, what a legend calls it; each is seen beneath the smaller ones after it
    "estimated_saving": (COLOURS[3], "v", 11.0, "estimated: the paper's formula"),
    "predicted_saving": (COLOURS[1], "^", 9.0, "predicted: counted FLOPs"),
    "profiled_saving": (COLOURS[0], "o", 4.5, "profiled: seconds a step at each prefix"),
}
MEASURED = "measured_saving"
COLUMNS = (
    "label",
    "strategy",
    "series",
    "swept",
    "n",
    *SAID,
    MEASURED,
    f"{MEASURED}_low",
    f"{MEASURED}_high",
    f"{MEASURED}_n",
)


def draw_savings(panel: Panel, out: Path) -> list[Path]:
    """Write savings_<panel>.png, .svg and .csv into `out`, and give their paths; [] where there is nothing to compare.

    The horizontal axis is the runs' own clocks or, if these are from another device than the profile or give nothing,
    the profile. The curve's runs are included: their savings are known beforehand, so their distance from the diagonal
    is the error of the clocks.
    """
    truth, said = compared(panel)
    if not said:
        return []
    table = panel.drawn.loc[panel.drawn[truth].notna(), [*COLUMNS]]
    stem = out / f"savings_{panel.name}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.4, 5.2), layout="constrained")
        _points(axes, table, truth, said)
        _words(axes, panel, table, truth)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        write(figure, table, paths)
    return paths


def compared(panel: Panel) -> tuple[str, list[str]]:
    """The reference column of savings, and the other columns that an arm has; "" and [] if none."""
    arms = panel.drawn[~panel.drawn["strategy"].isin(CURVE)]
    own_clocks = panel.profiled_on in (None, panel.devices)
    for truth in ([MEASURED] if own_clocks else []) + ["profiled_saving"]:
        known = arms[arms[truth].notna()]
        said = [column for column in SAID if column != truth and known[column].notna().any()]
        if said:
            return truth, said
    return "", []


def _points(axes: Axes, table: pd.DataFrame, truth: str, said: list[str]) -> None:
    is_curve = table["strategy"].isin(CURVE)
    arms, rivals = table[~is_curve], table[is_curve]
    ends = 100 * arms[[f"{MEASURED}_low", f"{MEASURED}_high"]].to_numpy().ravel() if truth == MEASURED else []
    axes.set_xlim(limits(100 * table[truth], ends, (-np.inf, 100)))
    axes.set_ylim(limits(100 * table[["predicted_saving", *said]].to_numpy().ravel(), (), (-np.inf, 100)))
    axes.axline((0, 0), slope=1, color="#999999", linewidth=1, zorder=1)
    x = 100 * arms[truth]
    spread = 100 * arms[said]
    axes.vlines(x, spread.min(axis=1), spread.max(axis=1), color="#bbbbbb", linewidth=0.7, zorder=2)
    n = arms[f"{MEASURED}_n"] if truth == MEASURED else arms["n"].clip(lower=2)  # a profile does not depend on the seed
    for column in said:
        colour, marker, size, name = SAID[column]
        style: dict[str, Any] = {"linestyle": "", "color": colour, "markersize": size, "zorder": 4}
        for several in (True, False):
            own = arms[(n > 1) == several]
            axes.plot(100 * own[truth], 100 * own[column], marker, **style, **marker_face(colour, 2 if several else 1))
        axes.plot([], [], marker, **style, **marker_face(colour, int(n.max())), label=name)
        if truth == MEASURED:
            at = 100 * arms[column]
            reach = [x - 100 * arms[f"{MEASURED}_low"], 100 * arms[f"{MEASURED}_high"] - x]
            axes.errorbar(x, at, xerr=reach, fmt="none", ecolor=colour, elinewidth=0.6, alpha=0.5, zorder=3)
    if len(rivals):
        face = marker_face(CURVE_COLOUR, int(rivals["n"].max()))
        name = "baseline and shortened runs: known beforehand"
        axes.plot(
            100 * rivals[truth],
            100 * rivals["predicted_saving"],
            "s",
            color=CURVE_COLOUR,
            markersize=4.5,
            zorder=3,
            **face,
            label=name,
        )


def _words(axes: Axes, panel: Panel, table: pd.DataFrame, truth: str) -> None:
    device = panel.devices
    measured = f"measured by the runs' clocks\non {device}" if truth == MEASURED else f"profiled on {panel.profiled_on}"
    bars = ", with 95 % t intervals" if truth == MEASURED and table[f"{MEASURED}_n"].max() > 1 else ""
    axes.set_xlabel(f"Training time saved (%), {measured}{bars}")
    axes.set_ylabel("Training time saved (%), as stated beforehand")
    title = f"{panel.what}, {panel.size}"
    title += "\nabove the diagonal: less was saved than stated"
    axes.set_title(title, fontsize=10, loc="left")

"""The figure: one row of panels per network, with step times, packed bytes and savings.

It is drawn from the rows of the CSV alone, so that it can be drawn again from a kept file:
`figure.draw(pd.read_csv("docs/benchmark.csv"), Path("docs"))`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from analysis.looks import COLOURS, MARKERS, NO_DATE, STYLE
from benchmarks.arms import LABELS
from freezeout.records import replacing

PNG = "benchmark.png"
LOOK: dict[str, dict[str, Any]] = {
    arm: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i], "ms": 4, "label": LABELS[arm]}
    for i, arm in enumerate(LABELS)
}
BARS = {"ideal": "#bbbbbb", "realised": LOOK["eager"]["color"], "profiled": "#f2dc6b"}
ACTIVE_SHARE = "active stages' share"


def draw(table: pd.DataFrame, out: Path) -> Path:
    """Write the figure as benchmark.png into the folder `out`; its path.

    Args:
        table: Rows as `report.rows` gives them or as read from the CSV, of at least one network.
        out: Made if it is not there.
    """
    figure = made(table)
    with replacing(out / PNG) as path:
        figure.savefig(path, format="png", dpi=150, metadata=NO_DATE["png"])
    plt.close(figure)
    return out / PNG


def made(table: pd.DataFrame) -> Figure:
    """The figure of `table`, to be closed by the caller. Bars and whiskers are quartiles of the rounds."""
    networks = list(table["network"].unique())
    with plt.rc_context(STYLE):
        size = (11, 3.1 * len(networks) + 0.9)  # inches; the legend and the title take what is added
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches, so that labels keep clear of the next panel
        figure, grid = plt.subplots(len(networks), 3, figsize=size, layout=layout, squeeze=False)
        for axes, network in zip(grid, networks, strict=True):
            rows = table[table["network"] == network]
            axes[0].set_title(network, loc="left", fontweight="bold")
            _step_times(axes[0], rows)
            _packed_bytes(axes[1], rows)
            _savings(axes[2], rows)
        handles: dict[str, Any] = {}
        for axes in grid.flat:
            handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        order = sorted(handles, key=[*LABELS.values(), ACTIVE_SHARE, *BARS].index)
        figure.legend([handles[label] for label in order], order, loc="outside lower center", ncols=5, frameon=False)
        first = table.iloc[0]
        figure.suptitle(f"{first['device']}, {first['precision']}, batch {first['batch']}", fontsize="medium")
        for _ in range(3):  # settles the layout under this style; the ticks chosen in the new size may need more room
            figure.draw_without_rendering()
    return figure


def _step_times(axes: Axes, rows: pd.DataFrame) -> None:
    ratios = rows[rows["quantity"] == "ratio"]
    if ratios.empty:
        axes.set_axis_off()
        return
    for arm, look in LOOK.items():
        pair = ratios[ratios["of"] == f"{arm}/plain"]
        if len(pair):
            middle = pair["median"]
            whiskers = [middle - pair["low"], pair["high"] - middle]
            axes.errorbar(pair["prefix"].astype(int), middle, whiskers, **look)
    prefixes = sorted(ratios["prefix"].astype(int).unique())
    axes.plot(prefixes, [1.0] * len(prefixes), **LOOK["plain"], lw=1)
    axes.set(xlabel="frozen stages", ylabel="step time / plain loop's")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _packed_bytes(axes: Axes, rows: pd.DataFrame) -> None:
    packed = rows[rows["quantity"] == "packed"]
    if packed.empty:
        axes.set_axis_off()
        return
    for arm, look in LOOK.items():
        line = packed[packed["of"] == arm]
        if len(line):
            axes.plot(line["prefix"].astype(int), line["median"] / 1e6, **look)
    share = packed[packed["of"] == "share"]
    axes.plot(share["prefix"].astype(int), share["median"] / 1e6, color="#222222", ls=":", label=ACTIVE_SHARE)
    axes.set(xlabel="frozen stages", ylabel="MB packed for backward", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _savings(axes: Axes, rows: pd.DataFrame) -> None:
    strategies = list(rows.loc[rows["quantity"] == "realised", "of"].unique())
    for place, (quantity, colour) in enumerate(BARS.items()):
        found = rows[rows["quantity"] == quantity].set_index("of").reindex(strategies)
        if len(found.dropna(how="all")):
            x = [i + 0.27 * (place - 1) for i in range(len(strategies))]
            middle = 100 * found["median"]
            whiskers = [middle - 100 * found["low"], 100 * found["high"] - middle] if quantity == "realised" else None
            axes.bar(x, middle, 0.25, yerr=whiskers, color=colour, label=quantity)
    axes.set_xticks(range(len(strategies)), [textwrap.fill(name, 8) for name in strategies])
    axes.set(ylabel="saving, %")

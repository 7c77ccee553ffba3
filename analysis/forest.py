"""A forest plot: one row per arm with its difference from the curve, interval and verdict, panel after panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import blended_transform_factory

from .intervals import limits, mark_cuts
from .looks import CURVE_COLOUR, MARGIN_COLOUR, marker_face

Looks = dict[str, tuple[str, str]]
ROW = 0.185  # inches that a row takes
SOFT: dict[str, Any] = {"color": "#333333", "fontsize": 8, "va": "center"}


@dataclass(frozen=True)
class Block:
    """The rows of one panel.

    Attributes:
        rows: As `verdict_rows.arm_rows` gives them.
        names: One per row, written to its left.
        margin: Relative difference that does not matter, drawn as a band; None for none.
        title: A line above the rows, from the left edge of the figure; none if "".
    """

    rows: pd.DataFrame
    names: Sequence[str]
    margin: float | None
    title: str = ""

    @property
    def lines(self) -> int:
        """Number of rows that the block takes."""
        return len(self.rows) + bool(self.title)


def draw_forest(axes: Axes, blocks: Sequence[Block], looks: Looks, over: str) -> str:
    """Draw the blocks below each other: thick, the interval over seeds; thin, widened by the bound on time.

    Args:
        axes: Where to draw.
        blocks: From the top.
        looks: Colour and marker of each series.
        over: What the intervals are simultaneous over, in words.

    Returns:
        What the intervals are, to go on with in the axis' label.
    """
    table = pd.concat([block.rows for block in blocks])
    ends = np.concatenate([table[f"difference_{end}"] for end in ("low", "high")])
    margins = [sign * 100 * block.margin for block in blocks if block.margin is not None for sign in (1, -1)]
    typical = table[["difference_low", "difference_high"]].median()  # shown whole: only wider ones may be cut
    axes.set_xlim(limits([0.0, *margins, *table["difference"], *typical], ends))
    axes.axvline(0, color=CURVE_COLOUR, linewidth=1.2, zorder=2)
    top = 0
    places: list[int] = []
    names: list[tuple[str, str]] = []  # with their colour
    for block in blocks:
        if block.margin is not None:
            first, last = top + bool(block.title) - 0.6, top + block.lines - 0.4
            band = f"as good: within the margin, {100 * block.margin:g} % of the error"
            corner, width = (-100 * block.margin, first), 200 * block.margin
            axes.add_patch(Rectangle(corner, width, last - first, color=MARGIN_COLOUR, lw=0, zorder=0, label=band))
        if block.title:
            _title(axes, top, block.title)
        for y, (_, arm) in enumerate(block.rows.iterrows(), top + bool(block.title)):
            _row(axes, y, arm, *looks[arm["series"]])
            _word(axes, y, arm, block.rows["n"].nunique() > 1)
            places.append(y)
        colours = [looks[series][0] for series in block.rows["series"]]
        names += zip(block.names, colours, strict=True)
        top += block.lines
    axes.set_ylim(top - 0.4, -0.6)
    axes.set_yticks(places, [name for name, _ in names], fontsize=8)
    for label, (_, colour) in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(colour)
    axes.tick_params(axis="y", length=0, pad=8)  # names end before an arrow head begins
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    if table["difference_low"].isna().all():
        return "; one seed: no intervals"
    words = f"; simultaneous 95 % intervals over {over},\nthin: widened by the bound on time"
    cut = any(line.get_gid() == "cut" for line in axes.lines)
    return words + ("; arrow heads: the interval is longer" if cut else "")


def _row(axes: Axes, y: int, arm: Any, colour: str, marker: str) -> None:
    axes.plot([arm["difference_low"], arm["difference_high"]], [y, y], color=colour, linewidth=0.8, zorder=3)
    if not math.isnan(arm["difference_low"]):
        thick: dict[str, Any] = {"linewidth": 3, "alpha": 0.55, "solid_capstyle": "butt", "zorder": 3}
        axes.plot([arm["seeds_low"], arm["seeds_high"]], [y, y], color=colour, **thick)
        middle, low, high = (np.array([arm[f"difference{end}"]]) for end in ("", "_low", "_high"))
        mark_cuts(axes, "x", middle, np.array([float(y)]), low, high, colour)
    face = marker_face(colour, int(arm["n"]))
    axes.plot(arm["difference"], y, marker, color=colour, markersize=6, zorder=4, **face)


def _title(axes: Axes, y: int, title: str) -> None:
    """Over the whole figure, and over the lines of the axes: a long title does not take their width."""
    side = blended_transform_factory(axes.figure.transFigure, axes.transData)
    bare: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    shown = axes.text(0.01, y, title, transform=side, fontweight="bold", bbox=bare, **SOFT)
    shown.set_in_layout(False)


def _word(axes: Axes, y: int, arm: Any, several: bool) -> None:
    """To the right of the axes: the verdict, n if it differs between the panel's arms, and diverged seeds."""
    side = blended_transform_factory(axes.transAxes, axes.transData)
    lost = f", {arm['diverged_seeds']} diverged" if arm["diverged_seeds"] else ""
    seeds = f" (n = {arm['n']})" if several and not arm["verdict"].startswith("under") else ""
    bold = "bold" if arm["verdict"] in ("better", "worse", "as good") else "normal"
    axes.text(1.02, y, f"{arm['verdict']}{seeds}{lost}", transform=side, fontweight=bold, **SOFT)

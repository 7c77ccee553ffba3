"""The layout of a figure of the paper: panels one column wide, legend and note below; written in four formats."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from .looks import STYLE, write

WIDTH = 3.25  # inches: a column of a two-column paper
LINE = 0.095  # inches per line of the note
LETTERS = 84  # per line of the note
SMALL: Any = {
    **STYLE,
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "legend.fontsize": 6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.5,
    "pdf.fonttype": 42,  # embeds text as text
}


class Sheet:
    """`rows` x `columns` panels, `height` inches each, above a legend of `legend` lines and the note.

    A single column of panels shares the axis of errors. `finish` writes the sheet and closes the figure.

    Attributes:
        figure: The figure that holds the panels.
        panels: The axes, row by row.
        legend_at: Where the lower centre of the legend goes, in the figure's coordinates.
    """

    def __init__(self, title: str, note: str, rows: int, columns: int = 1, height: float = 1.75, legend: int = 0):
        lines = textwrap.wrap(note, LETTERS)
        titles = [line for part in title.splitlines() for line in textwrap.wrap(part, 52)]
        below = 0.08 + 0.13 * legend + LINE * len(lines)
        above = 0.06 + 0.14 * len(titles)
        self.height = above + rows * height + below
        with plt.rc_context(SMALL):
            # The panels avoid the text above and below, whose heights are known.
            box = (0, below / self.height, 1, 1 - (above + below) / self.height)
            layout = ConstrainedLayoutEngine(rect=box, h_pad=0.03, w_pad=0.03)
            self.figure: Figure = plt.figure(figsize=(WIDTH, self.height), layout=layout)
            self.panels: list[Axes] = list(self.figure.subplots(rows, columns, squeeze=False, sharey=columns == 1).flat)
            top = 1 - 0.05 / self.height
            self.figure.text(0.02, top, "\n".join(titles), va="top", fontsize=7.5, fontweight="bold", linespacing=1.15)
            place = LINE * len(lines) / self.height
            self.figure.text(0.02, place, "\n".join(lines), va="top", fontsize=5.3, color="#444444", linespacing=1.1)
            self.legend_at = (0.5, place + 0.03 / self.height)

    def finish(self, table: pd.DataFrame, stem: Path) -> list[Path]:
        """Write stem.png, .svg, .pdf and their table as .csv; gives the paths. Equal inputs give equal bytes."""
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "pdf", "csv")]
        with plt.rc_context(SMALL):
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
            for axes in self.panels:  # the layout solver's last digits vary between runs
                axes.set_position(Bbox(np.round(axes.get_position().get_points(), 4)))
            write(self.figure, table, paths, dpi=300)
        return paths


def draw_nothing(title: str, why: str, columns: list[str], stem: Path) -> list[Path]:
    """Write a figure that states why it shows nothing, and a CSV with only a header; gives the paths."""
    sheet = Sheet(title, "", 1, height=1.2)
    (axes,) = sheet.panels
    axes.set_axis_off()
    words = "\n".join(textwrap.wrap(why, 54))
    text = axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, fontsize=7, linespacing=1.5)
    text.set_in_layout(False)
    return sheet.finish(pd.DataFrame(columns=columns), stem)

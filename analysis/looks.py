"""The style of figures, and writing them: the same data give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from freezeout.records import replacing

from .savings import CURVE

# Okabe and Ito's palette, distinguishable by colour-blind readers, with markers distinct in greyscale. Seven markers
# and six colours give 42 series before a pair repeats. Squares and diamonds are reserved for the curve.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "^", "v", "P", "X", "p", "*")
CURVE_COLOUR = "#222222"
FRONT_COLOUR = "#f2dc6b"
MARGIN_COLOUR = "#e2efe6"
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


def styles(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and marker of each series; black is reserved for the baseline and its shortened curve."""
    found, used = {}, 0
    for _, row in table.drop_duplicates("series").iterrows():
        if row["strategy"] in CURVE:
            found[row["series"]] = (CURVE_COLOUR, "D" if row["strategy"] == "baseline" else "s")
        else:
            found[row["series"]] = (COLOURS[used % len(COLOURS)], MARKERS[used % len(MARKERS)])
            used += 1
    return found


def marker_face(colour: str, n: int, size: float = 1.0) -> dict[str, Any]:
    """Face and edge of the marker of a mean over n seeds: hollow for one seed. size: scales the edge."""
    if n > 1:
        return {"markerfacecolor": colour, "markeredgecolor": "white", "markeredgewidth": 0.7 * size}
    return {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.2 * size}


def write(figure: Figure, table: pd.DataFrame, paths: Sequence[Path], dpi: int = 200) -> None:
    """Write the figure to all `paths` but the last and its numbers as CSV to the last; close the figure."""
    *pictures, numbers = paths
    for path in pictures:
        kind = path.suffix[1:]
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=dpi, metadata=NO_DATE[kind])
    plt.close(figure)
    with replacing(numbers) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")

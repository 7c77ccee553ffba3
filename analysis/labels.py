"""Small words beside points, each put where it hides least: no library, the same place every time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes

# Offsets of a word's centre from its point, in points (1/72 inch), the preferred ones first.
OFFSETS = ((13, 8), (13, -8), (-13, 8), (-13, -8), (14, 0), (-14, 0), (9, 15), (-9, 15), (9, -15), (-9, -15))
REACH = np.array([9.0, 6.0])  # half the width and height of a word such as 0.75, in points


def place(axes: Axes, words: Sequence[tuple[str, float, float, str]], lines: Sequence[np.ndarray]) -> None:
    """Write each (text, x, y, colour) beside its point, clear of the points, `lines` and words placed before.

    lines: arrays (k, 2) of vertices in data coordinates. The figure's layout must be final.
    """
    scale = 72 / axes.figure.dpi

    def points(vertices: np.ndarray) -> np.ndarray:
        return axes.transData.transform(vertices) * scale

    taken = [points(np.array([[x, y]])) for _, x, y, _ in words]
    for line in lines:
        ends = points(line)
        steps = np.linspace(0, 1, 40)[:, None]
        taken += [start + steps * (stop - start) for start, stop in pairwise(ends)]
    for text, x, y, colour in words:
        at, obstacles = points(np.array([[x, y]]))[0], np.concatenate(taken)
        hidden = [int((np.abs(obstacles - at - offset) < REACH).all(axis=1).sum()) for offset in np.array(OFFSETS)]
        best = OFFSETS[int(np.argmin(hidden))]
        word = axes.annotate(text, (x, y), best, textcoords="offset points", ha="center", va="center", zorder=5)
        word.set(color=colour, fontsize=8, path_effects=[effects.withStroke(linewidth=2, foreground="white")])
        corners = np.array([[-1, 0], [0, 0], [1, 0]]) * REACH
        taken.append(at + best + corners)

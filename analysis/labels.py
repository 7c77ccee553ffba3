"""Short labels beside points, each placed where it hides least, deterministically and without a library."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes

# Lengths are in points (1/72 inch). Offsets of a label's centre from its point, preferred ones first: (a, b, c) shifts
# it by a times half its width plus b to the side, and by c up.
SIDES = ((1, 4, 8), (1, 4, -8), (-1, -4, 8), (-1, -4, -8), (1, 5, 0), (-1, -5, 0))
FAR = ((1, 0, 15), (-1, 0, 15), (1, 0, -15), (-1, 0, -15), (0, 0, 24), (0, 0, -24))
OFFSETS = np.array([*SIDES, *FAR])
LETTER, HEIGHT = 2.25, 6.0  # half the width of a letter, half the height of a word
NARROWEST = 9.0  # half the width of the shortest word
WORD = 4  # weight of a part of a label as an obstacle: overlapping labels are both unreadable
OUTSIDE = 50  # a label hides up to this many obstacles rather than cross the edge of the axes


def place(axes: Axes, words: Sequence[tuple[str, float, float, str]], lines: Sequence[np.ndarray]) -> None:
    """Write labels beside their points, avoiding points, lines and labels placed before.

    Args:
        axes: Of a figure whose layout is final.
        words: (text, x, y, colour) of each, in data coordinates.
        lines: Arrays (k, 2) of vertices, in data coordinates.
    """
    scale = 72 / axes.figure.dpi

    def points(vertices: np.ndarray) -> np.ndarray:
        return axes.transData.transform(vertices) * scale

    taken = [points(np.array([[x, y]])) for _, x, y, _ in words]
    for line in lines:
        ends = points(line)
        steps = np.linspace(0, 1, 40)[:, None]
        taken += [start + steps * (stop - start) for start, stop in pairwise(ends)]
    edges = axes.get_window_extent().get_points() * scale
    for text, x, y, colour in words:
        at, obstacles = points(np.array([[x, y]]))[0], np.concatenate(taken)
        reach = np.array([max(NARROWEST, LETTER * len(text)), HEIGHT])
        offsets = np.column_stack([OFFSETS[:, 0] * reach[0] + OFFSETS[:, 1], OFFSETS[:, 2]])
        near = np.abs(obstacles - at) < np.abs(offsets).max(axis=0) + reach  # a few of many thousands
        obstacles = obstacles[near.all(axis=1)]
        hidden = [int((np.abs(obstacles - at - offset) < reach).all(axis=1).sum()) for offset in offsets]
        beyond = ((at + offsets - reach < edges[0]) | (at + offsets + reach > edges[1])).any(axis=1)
        best = offsets[int(np.argmin(hidden + OUTSIDE * beyond))]
        word = axes.annotate(text, (x, y), tuple(best), textcoords="offset points", ha="center", va="center", zorder=5)
        word.set(color=colour, fontsize=8, path_effects=[effects.withStroke(linewidth=2, foreground="white")])
        # A grid so dense that no other label fits between its points.
        grid = np.meshgrid(np.linspace(-1, 1, 2 + len(text) // 2), (-0.7, 0, 0.7))
        taken += WORD * [at + best + np.stack(grid, axis=-1).reshape(-1, 2) * reach]

"""Intervals in a figure: axes as wide as the data need, and a mark where an interval extends beyond them.

With two or three seeds an interval can be many times as wide as the spread of all runs. Axes that contained it would
show nothing else, so it is cut at the end of the axis and marked with an arrow head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

ROOM = 0.5  # how far intervals may widen an axis beyond the data on either side, in units of the data's span
MARGIN = 0.06  # space at both ends of an axis, as a fraction of its length


def limits(
    values: Iterable[float], ends: Iterable[float], bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """The ends of an axis that shows all values, and intervals unless they would dwarf the values.

    Args:
        values: Means and single runs; NaNs are ignored.
        ends: Ends of the intervals; NaNs are ignored.
        bounds: Smallest and largest possible value. The axis ends there, except for a margin around a point at a bound.
    """
    values, reach = (np.array([v for v in some if np.isfinite(v)]) for some in (values, ends))
    low, high = values.min(), values.max()
    room = ROOM * (high - low) or 0.1 * abs(high) or 1.0
    if len(reach):
        low, high = min(low, max(reach.min(), low - room)), max(high, min(reach.max(), high + room))
    margin = MARGIN * (high - low) or room
    # Beyond a bound there is only room for the marker of a point at the bound.
    first = max(low - margin, min(bounds[0], values.min() - margin))
    return float(first), float(min(high + margin, max(bounds[1], values.max() + margin)))


def bars(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    *,
    across: tuple[np.ndarray, np.ndarray] | None,
    along: tuple[np.ndarray, np.ndarray],
    bounds: dict[str, tuple[float, float]],
    **look: Any,
) -> None:
    """Draw the intervals of points, clipped to possible values; the axes' limits must be final.

    Args:
        axes: Where to draw.
        x, y: The points.
        across: Lower and upper ends in x; None for no intervals in x.
        along: Lower and upper ends in y.
        bounds: For "x" and "y" the least and the largest possible value.
        **look: As `Axes.errorbar` takes it.
    """
    errors: dict[str, Any] = {}
    for name, at, found in (("x", x, across), ("y", y, along)):
        if found is not None:
            low, high = np.maximum(found[0], bounds[name][0]), np.minimum(found[1], bounds[name][1])
            errors[f"{name}err"] = [np.maximum(at - low, 0), np.maximum(high - at, 0)]
            mark_cuts(axes, name, x, y, low, high, look.get("ecolor"))
    axes.errorbar(x, y, **errors, fmt="none", **look)


def mark_cuts(
    axes: Axes, name: str, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, colour: Any
) -> None:
    """Draw an arrow head at the end of the axis for each interval that extends beyond it.

    Args:
        axes: Where to draw; its limits must be final.
        name: "x" or "y", the direction of the intervals.
        x, y: The points.
        low, high: The ends of their intervals.
        colour: Of the arrow heads.
    """
    first, last = axes.get_xlim() if name == "x" else axes.get_ylim()
    style: dict[str, Any] = {"color": colour, "markersize": 5, "linestyle": "", "clip_on": False, "zorder": 4}
    for beyond, end, marker in ((low < first, 0, "<v"), (high > last, 1, ">^")):
        if not beyond.any():
            continue
        if name == "x":
            place = blended_transform_factory(axes.transAxes, axes.transData)
            where = (np.full(int(beyond.sum()), end), y[beyond])
        else:
            place = blended_transform_factory(axes.transData, axes.transAxes)
            where = (x[beyond], np.full(int(beyond.sum()), end))
        axes.plot(*where, marker[name == "y"], transform=place, gid="cut", **style)

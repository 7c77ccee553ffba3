"""What error is drawn against: savings or seconds, profiled or measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .comparisons import Panel


@dataclass(frozen=True)
class Axis:
    """What error is drawn against.

    Attributes:
        column: Of the points and the runs.
        factor: From the column's unit to the axis'.
        more_is_better: True for savings, false for seconds.
        label: The axis' label, without the device.
        bounds: The least and the largest possible value, in the axis' unit.
        check: Column of the runs' own clocks, where the axis is profiled on their device.
    """

    column: str
    factor: float
    more_is_better: bool
    label: str
    bounds: tuple[float, float]
    check: str | None = None


AXES = {
    "saving": Axis("measured_saving", 100, True, "Training time saved relative to the baseline (%)", (-math.inf, 100)),
    "seconds": Axis("seconds_train", 1, False, "Training time of a run (s)", (0, math.inf)),
}
ERRORS = (0, 100)  # the least and the largest possible error, per cent
PROFILED = {"saving": "profiled_saving", "seconds": "profiled_seconds"}


def axis_of(panel: Panel, x: str) -> Axis:
    """Profiled where the panel's savings are (seconds: where a profile's are at hand too), else measured."""
    axis, column = AXES[x], PROFILED[x]
    if panel.profiled_on is None or panel.drawn[column].isna().any():
        return axis
    check = axis.column if panel.profiled_on == panel.devices else None
    return replace(axis, column=column, check=check)

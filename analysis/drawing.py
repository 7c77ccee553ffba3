"""All figures of some panels, into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .axes import AXES
from .front_chances import front_chances
from .panel_verdicts import PanelVerdicts
from .plots import draw
from .saving_plot import draw_savings
from .verdict_plot import draw_verdicts

SEED = 0  # of the draws that the front's probabilities are of: the same records give the same figures


def draw_panels(found: Sequence[PanelVerdicts], x: str, out: Path) -> list[Path]:
    """Write the figures of each panel, each with its numbers as CSV; gives the paths.

    Args:
        found: The panels with their verdicts.
        x: What error is drawn against in Pareto plots, of AXES, or `both`.
        out: The folder to write into.
    """
    paths = []
    for one in found:
        chances = front_chances(one, np.random.default_rng(SEED))
        for axis in AXES if x == "both" else [x]:
            made = draw(one, axis, out, chances)
            paths += made
            if not made:
                print(f"{one.panel.name}: no run has a measured {axis}, so that figure is not drawn")
        paths += [*draw_verdicts(one, out), *draw_savings(one.panel, out)]
    return paths

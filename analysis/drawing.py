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
from .text import wrapped
from .verdict_plot import draw_verdicts

SEED = 0  # of the draws for the front's probabilities: the same records give the same figures


def draw_panels(found: Sequence[PanelVerdicts], x: str, out: Path) -> list[Path]:
    """Write the figures of each panel, each with its numbers as CSV; gives the paths.

    Args:
        found: The panels with their verdicts.
        x: The horizontal axis of Pareto plots, one of AXES or `both`.
        out: The folder to write into.
    """
    paths = []
    for one in found:
        chances = front_chances(one, np.random.default_rng(SEED))
        made = {axis: draw(one, axis, out, chances) for axis in (AXES if x == "both" else [x])}
        paths += [path for drawn in made.values() for path in drawn]
        if lacking := [axis for axis, drawn in made.items() if not drawn]:
            print("\n".join(wrapped(_not_drawn(one.panel.name, lacking))))
        paths += [*draw_verdicts(one, out), *draw_savings(one.panel, out)]
    return paths


def _not_drawn(panel: str, lacking: list[str]) -> str:
    """`smoke: no saving and no seconds of any run are its own ...`: why figures are missing, and what draws them."""
    return (
        f"{panel}: no figure of error over {' or '.join(lacking)}, since no run has a usable one (reasons below). A "
        f"profile, timed on a quiet machine, gives them: python -m freezeout.predict --measure with the runs' "
        "model, dataset and machine"
    )

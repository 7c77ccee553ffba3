"""All figures of some panels, into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import RUNS
from .axes import AXES
from .comparisons import Panel
from .front_chances import front_chances
from .panel_verdicts import PanelVerdicts
from .plots import draw
from .saving_plot import draw_savings
from .text import wrapped
from .verdict_plot import draw_verdicts

SEED = 0  # of the draws for the front's probabilities: the same records give the same figures


def draw_panels(found: Sequence[PanelVerdicts], x: str, out: Path, root: Path) -> list[Path]:
    """Write the figures of each panel, each with its numbers as CSV; gives the paths.

    Args:
        found: The panels with their verdicts.
        x: The horizontal axis of Pareto plots, one of AXES or `both`.
        out: The folder to write into.
        root: The folder of the records, for the command that times a step where a figure lacks times.
    """
    paths = []
    for one in found:
        chances = front_chances(one, np.random.default_rng(SEED))
        made = {axis: draw(one, axis, out, chances) for axis in (AXES if x == "both" else [x])}
        paths += [path for drawn in made.values() for path in drawn]
        if lacking := [axis for axis, drawn in made.items() if not drawn]:
            print("\n".join(wrapped(_not_drawn(one.panel, lacking))))
            print(f"  {_timing(one.panel, root)}")
        paths += [*draw_verdicts(one, out), *draw_savings(one.panel, out)]
    return paths


def _not_drawn(panel: Panel, lacking: list[str]) -> str:
    """`smoke: no figure of error over saving, ...`: why figures are missing, and what draws them."""
    return (
        f"{panel.name}: no figure of error over {' or '.join(lacking)}, since no run has a usable one (reasons below). "
        "With a profile, timed in a minute or two on this machine while it is quiet, the same command draws them:"
    )


def _timing(panel: Panel, root: Path) -> str:
    """The command that times a step of the panel's network at each prefix: that of one of its runs, timed only."""
    plain = panel.runs[panel.runs["strategy"] == "baseline"]
    command = str((panel.runs if plain.empty else plain)["command"].iloc[0])
    folder = "" if root == RUNS else f" out={root}"
    return command.replace("python -m freezeout ", "python -m freezeout.predict --measure ", 1) + folder

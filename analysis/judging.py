"""From a folder of records to the verdicts of its panels; reads profiles and misclassified images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import RECORDS, RUNS
from .cells import cells
from .collect import collect
from .comparisons import Panel, panels
from .images import wrong_images
from .load import NothingToDrawError, load
from .panel_verdicts import PanelVerdicts
from .profiles import read_profiles
from .summary import left_out_text
from .whole import judged


def judged_panels(
    root: Path | None,
    profile: Sequence[Path] = (),
    sweeps: Sequence[str] = (),
    margin: float | None = None,
    records: Mapping[str, dict[str, Any]] | None = None,
    *,
    unfinished: bool = False,
) -> list[PanelVerdicts]:
    """The verdicts of every panel of some records: the second part of `judged_table`, which takes the same."""
    return judged_table(root, profile, sweeps, margin, records, unfinished=unfinished)[1]


def judged_table(
    root: Path | None,
    profile: Sequence[Path] = (),
    sweeps: Sequence[str] = (),
    margin: float | None = None,
    records: Mapping[str, dict[str, Any]] | None = None,
    *,
    unfinished: bool = False,
) -> tuple[pd.DataFrame, list[PanelVerdicts]]:
    """The table of some records, and the verdicts of every panel of it.

    Args:
        root: The folder of records; None takes the runs, or with a profile the kept records.
        profile: Files of profiles, whose step times replace the savings in the records.
        sweeps: The sweeps wanted, compared with each other if several; all if empty.
        margin: A relative difference that does not matter; overrides the margins that the sweeps fixed.
        records: The records below `root`, if already read; None reads them.
        unfinished: Judge arms although runs of their sweep are still to do.

    Raises:
        NothingToDrawError: No run may enter a verdict.
        ValueError: In one line: a sweep, a profile or a margin is invalid.
    """
    timed = read_profiles(profile)
    root = root or (RECORDS if timed else RUNS)
    records = collect(root) if records is None else records
    table = load(root, timed, sweeps, records)
    found = panels(table, timed[0].device if timed else None, unfinished=unfinished)
    if not found:
        why = left_out_text(table).replace("\n", "; ")
        raise NothingToDrawError(f"--runs {root}: no run may enter a verdict: {why}")
    wrong = wrong_by_run(records)
    return table, [judged_panel(one, margin=margin, wrong=wrong) for one in found]


def judged_panel(
    panel: Panel,
    *,
    margin: float | None = None,
    wrong: Mapping[str, np.ndarray] | None = None,
) -> PanelVerdicts:
    """The verdicts of one panel.

    Args:
        panel: As `comparisons.panels` gives it.
        margin: Given by the user; overrides the sweep's.
        wrong: Which images a run misclassified, by run id.
    """
    chosen = margin if margin is not None else panel.margin
    found = cells(panel.with_diverged, panel.saving, wrong)
    clocks = cells(panel.with_diverged, "measured_saving").calibration
    judgement = judged(found, chosen, panel.waits)
    of = "the command line" if margin is not None else "" if chosen is None else "the sweep"
    return PanelVerdicts(panel, found, judgement, chosen, of, clocks)


def wrong_by_run(records: Mapping[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Which images each run misclassified, by run id, for runs whose records have it."""
    found = {run_id: wrong_images(record) for run_id, record in records.items()}
    return {run_id: wrong for run_id, wrong in found.items() if wrong is not None}

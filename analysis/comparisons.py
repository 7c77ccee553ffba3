"""Which runs are drawn together: a panel is one group of one sweep, its runs, its points and what its title says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .estimates import points


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared: equal in all but strategy, steps and seed, on one device model and versions."""

    sweep: str
    name: str  # of its files: the sweep, and what tells it from the sweep's other panels
    runs: pd.DataFrame
    points: pd.DataFrame
    profiled_on: str | None = None  # the device whose profile gives every run a saving; None: their clocks give it

    def first(self, column: str):
        """A value that all runs of a panel share."""
        return self.runs[column].iloc[0]

    @property
    def seeds(self) -> str:
        """`3 seeds`, or `1 to 3 seeds` where configurations have different numbers of them."""
        few, many = self.points["n"].min(), self.points["n"].max()
        return f"{many} seed{'s' if many > 1 else ''}" if few == many else f"{few} to {many} seeds"

    @property
    def size(self) -> str:
        """`30 runs, 3 seeds`."""
        return f"{len(self.runs)} run{'s' if len(self.runs) > 1 else ''}, {self.seeds}"


def panels(table: pd.DataFrame, profiled_on: str | None = None) -> list[Panel]:
    """The panels of every sweep in the table, from the runs that nothing leaves out; equal tables give equal panels.

    profiled_on: the device of the profile that the table was loaded with; without one a profile in the records is of
    the runs' own device. Savings are profiled ones where every run of the panel has one, else measured.
    """
    made = []
    for sweep, runs in table[table["left_out"].isna()].groupby("sweep", sort=False):
        groups = dict(list(runs.groupby("group", sort=False, dropna=False)))
        names = _names(
            [(r["model_name"].iloc[0], r["dataset"].iloc[0], r["device"].iloc[0], g) for g, r in groups.items()]
        )
        for own, name in zip(groups.values(), names, strict=True):
            # A generator of its own: a panel's intervals do not depend on which other panels are drawn.
            timed_on = None
            if own["profiled_saving"].notna().all():
                timed_on = profiled_on or str(own["device"].iloc[0])
            saving = "profiled_saving" if timed_on else "measured_saving"
            drawn = points(own, np.random.default_rng(0), saving)
            stem = "_".join(filter(None, [file_name(str(sweep)), name, on(profiled_on)]))
            made.append(Panel(str(sweep), stem, own, drawn, timed_on))
    return made


def _names(groups: list[tuple]) -> list[str]:
    """What tells the groups apart in file names: nothing for one; model-dataset, then the device, then the hash."""
    if len(groups) == 1:
        return [""]
    for parts in ((0, 1), (0, 1, 2)):
        names = [file_name("-".join(str(group[i]) for i in parts)) for group in groups]
        if len(set(names)) == len(names):
            return names
    return [file_name(f"{model}-{dataset}-{str(group)[:8]}") for model, dataset, _, group in groups]


def on(profiled_on: str | None) -> str:
    """What tells files drawn with another device's seconds from those of the runs: `on-NVIDIA-H200`, or nothing."""
    return f"on-{file_name(profiled_on)}" if profiled_on else ""


def file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")

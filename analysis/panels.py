"""Which runs are drawn together: a panel is one group of one sweep, its runs, its points and what its title says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.estimates import points


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared: equal in all but strategy, steps and seed, on one device model and versions."""

    sweep: str
    name: str  # of its files: the sweep, and what tells it from the sweep's other panels
    runs: pd.DataFrame
    points: pd.DataFrame

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


def panels(table: pd.DataFrame) -> list[Panel]:
    """The panels of every sweep in the table, from the runs that nothing leaves out; equal tables give equal panels."""
    made = []
    for sweep, runs in table[table["left_out"].isna()].groupby("sweep", sort=False):
        groups = dict(list(runs.groupby("group", sort=False, dropna=False)))
        names = _names(
            [(r["model_name"].iloc[0], r["dataset"].iloc[0], r["device"].iloc[0], g) for g, r in groups.items()]
        )
        for own, name in zip(groups.values(), names, strict=True):
            # A generator of its own: a panel's intervals do not depend on which other panels are drawn.
            drawn = points(own, np.random.default_rng(0))
            made.append(Panel(str(sweep), "_".join(filter(None, [_file_name(str(sweep)), name])), own, drawn))
    return made


def _names(groups: list[tuple]) -> list[str]:
    """What tells the groups apart in file names: nothing for one; model-dataset, then the device, then the hash."""
    if len(groups) == 1:
        return [""]
    for parts in ((0, 1), (0, 1, 2)):
        names = [_file_name("-".join(str(group[i]) for i in parts)) for group in groups]
        if len(set(names)) == len(names):
            return names
    return [_file_name(f"{model}-{dataset}-{str(group)[:8]}") for model, dataset, _, group in groups]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")

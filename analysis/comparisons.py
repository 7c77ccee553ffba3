"""Which runs are drawn together: a panel is all runs of one setting in one sweep (or in several that are compared)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from freezeout.naming import counted

from .estimates import points

CLOCK = ["device", "threads", "torch"]  # runs that agree in these take the same time for the same steps


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared: equal in all but strategy, steps and seed, on one device model and versions.

    Where every run has a profiled saving they may be of several CPUs; then means of their clocks' seconds are left out.

    Attributes:
        sweep: The sweep's name; `a+b` for two that are compared.
        name: Name of its files: the sweep's, and what tells it from the sweep's other panels.
        runs: The rows of the table that may enter its error plots.
        points: Means over seeds, as `estimates.points` gives them.
        with_diverged: Its runs and those of its configurations that diverged.
        profiled_on: Device of the profile that gives every run its saving; None where the runs' clocks give it.
        absent: Runs of its sweep that are not done and did not diverge: not started, cut short, failed or unreadable;
            of which panel is not known.
        unfit: Runs of its setting that are done and left out all the same: not what the profile timed, other versions.
    """

    sweep: str
    name: str
    runs: pd.DataFrame
    points: pd.DataFrame
    with_diverged: pd.DataFrame
    profiled_on: str | None = None
    absent: int = 0
    unfit: int = 0

    def first(self, column: str):
        """A value that all runs of a panel share."""
        return self.runs[column].iloc[0]

    @property
    def margin(self) -> float | None:
        """The relative difference that its sweep said does not matter; of compared sweeps the smallest; None: none."""
        return margin_of(self.runs)

    @property
    def saving(self) -> str:
        """The column of savings by which a configuration is set beside the curve."""
        return "profiled_saving" if self.profiled_on else "measured_saving"

    @property
    def drawn(self) -> pd.DataFrame:
        """The points of configurations of which a seed has an error, and not those that diverged throughout."""
        return self.points[self.points["n"] > 0]

    @property
    def seeds(self) -> str:
        """`3 seeds`, or `1 to 3 seeds` where configurations have different numbers of them."""
        few, many = self.drawn["n"].min(), self.drawn["n"].max()
        return counted(many, "seed") if few == many else f"{few} to {many} seeds"

    @property
    def devices(self) -> str:
        """The models of all devices that trained its runs."""
        return named(self.runs["device"])

    @property
    def size(self) -> str:
        """`30 runs, 3 seeds`, and how many runs of the sweep are missing or left out."""
        size = f"{counted(len(self.runs), 'run')}, {self.seeds}"
        others = [f"{self.absent} of the sweep missing"] if self.absent else []
        others += [f"{self.unfit} left out"] if self.unfit else []
        return f"{size} ({', '.join(others)})" if others else size


def panels(table: pd.DataFrame, profiled_on: str | None = None) -> list[Panel]:
    """The panels of a table, from the runs that nothing leaves out; equal tables give equal panels.

    Savings are profiled ones where every run of the panel has one, else measured.

    Args:
        table: As `load` gives it.
        profiled_on: The device of the profile that the table was loaded with. Without one, each run says whose
            profile gives its saving.
    """
    made = []
    # Seconds of a run that shared its device are no seconds of its configuration; its error is.
    table = table.assign(seconds_train=table["seconds_train"].mask(table["shared_device"].eq(True)))
    for comparison, runs in table[table["left_out"].isna()].groupby("comparison", sort=False):
        groups = dict(list(runs.groupby("setting_id", sort=False, dropna=False)))
        is_absent = table["status"].ne("done") & table["left_out"].ne("diverged")
        absent = int((is_absent & table["comparison"].eq(comparison)).sum())
        names = _names(
            [(r["model_name"].iloc[0], r["dataset"].iloc[0], r["device"].iloc[0], g) for g, r in groups.items()]
        )
        for (setting, own), name in zip(groups.items(), names, strict=True):
            timed_on = None
            if own["profiled_saving"].notna().all():
                timed_on = profiled_on or named(own["timed_on"])
            saving = "profiled_saving" if timed_on else "measured_saving"
            same = (table["comparison"] == comparison) & (table["setting_id"] == setting)
            lost = same & (table["left_out"] == "diverged")
            unfit = int((same & table["status"].eq("done") & table["left_out"].notna()).sum())
            counting = table[lost | table.index.isin(own.index)]
            if len(own[CLOCK].drop_duplicates()) > 1:
                counting = counting.assign(seconds_train=np.nan)
            drawn = points(counting, saving, margin_of(own))
            stem = "_".join(filter(None, [file_name(str(comparison)), name, on(profiled_on)]))
            made.append(Panel(str(comparison), stem, own, drawn, counting, timed_on, absent, unfit))
    return made


def margin_of(runs: pd.DataFrame) -> float | None:
    """The smallest margin that the sweeps of some runs fixed; None where none did."""
    smallest = runs["margin"].min()
    return None if pd.isna(smallest) else float(smallest)


def named(devices: pd.Series) -> str:
    """The device models in a column, each once, the first one first."""
    return ", ".join(map(str, devices.unique()))


def _names(groups: list[tuple]) -> list[str]:
    """What tells settings apart in file names: nothing for one; model-dataset, then the device, then the hash.

    groups: (model, dataset, device, setting_id) of each.
    """
    if len(groups) == 1:
        return [""]
    for parts in ((0, 1), (0, 1, 2)):
        names = [file_name("-".join(str(group[i]) for i in parts)) for group in groups]
        if len(set(names)) == len(names):
            return names
    return [file_name(f"{model}-{dataset}-{str(group)[:8]}") for model, dataset, _, group in groups]


def on(profiled_on: str | None) -> str:
    """The part of a file's name that says whose profile its seconds are from: `on-NVIDIA-H200`; "" for the runs'."""
    return f"on-{file_name(profiled_on)}" if profiled_on else ""


def file_name(text: str) -> str:
    """The text with everything replaced by hyphens that is not safe in a file's name."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")

"""Which runs are drawn together: a panel is all runs of one setting in one sweep (or in several compared sweeps)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from freezeout.naming import counted

from .estimates import points

CLOCK = ["device", "threads", "torch"]  # runs with equal values take the same time for the same steps


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared: equal except for strategy, steps and seed, with one device model and versions.

    If every run has a profiled saving, they may be from several CPUs; means of their clocks' seconds are then left out.

    Attributes:
        sweep: The sweep's name; `a+b` for two that are compared.
        name: Name of its files: the sweep's, plus what distinguishes it from the sweep's other panels.
        runs: The rows of the table that may enter its error plots.
        points: Means over seeds, as `estimates.points` gives them.
        with_diverged: Its runs, and the diverged runs of its configurations.
        profiled_on: Device of the profile that gives every run's saving; None if the runs' clocks give it.
        absent: Number of runs of its sweep that are not done and did not diverge: not started, cut short, failed or
            unreadable. The panel they belong to is not known.
        unfit: Number of done runs of its setting that are left out: not what the profile timed, or other versions.
        to_do: Number of listed runs of its sweep that are not started, running or interrupted, whatever their panel.
        anyway: Whether its arms are judged although runs are to do.
    """

    sweep: str
    name: str
    runs: pd.DataFrame
    points: pd.DataFrame
    with_diverged: pd.DataFrame
    profiled_on: str | None = None
    absent: int = 0
    unfit: int = 0
    to_do: int = 0
    anyway: bool = False

    def first(self, column: str):
        """A value that all runs of a panel share."""
        return self.runs[column].iloc[0]

    @property
    def what(self) -> str:
        """`wrn_10_1 on cifar10`, and what tells it from the sweep's panels of the same: `, optimizer.lr=0.05`."""
        return ", ".join(filter(None, [f"{self.first('model')} on {self.first('dataset')}", self.first("setting")]))

    @property
    def waits(self) -> bool:
        """Whether its arms have no words yet: its sweep is not whole."""
        return self.to_do > 0 and not self.anyway

    @property
    def margin(self) -> float | None:
        """The margin that its sweep fixed, relative; the smallest of compared sweeps; None if none was fixed."""
        return margin_of(self.runs)

    @property
    def saving(self) -> str:
        """The column of savings that gives a configuration's place on the curve."""
        return "profiled_saving" if self.profiled_on else "measured_saving"

    @property
    def drawn(self) -> pd.DataFrame:
        """The points of configurations with an error for at least one seed."""
        return self.points[self.points["n"] > 0]

    @property
    def seeds(self) -> str:
        """`3 seeds`, or `1 to 3 seeds` if configurations have different numbers of them."""
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


def panels(table: pd.DataFrame, profiled_on: str | None = None, *, unfinished: bool = False) -> list[Panel]:
    """The panels of a table, from the runs that are not left out; equal tables give equal panels.

    Savings are profiled if every run of the panel has a profiled one, else measured.

    Args:
        table: As `load` gives it.
        profiled_on: The device of the profile that the table was loaded with. Without one, each run names the device
            whose profile gives its saving.
        unfinished: Judge arms although runs of their sweep are still to do.
    """
    made = []
    # A run that shared its device has a valid error, but its seconds are not those of its configuration.
    table = table.assign(seconds_train=table["seconds_train"].mask(table["shared_device"].eq(True)))
    for comparison, runs in table[table["left_out"].isna()].groupby("comparison", sort=False):
        groups = dict(list(runs.groupby("setting_id", sort=False, dropna=False)))
        is_absent = table["status"].ne("done") & table["left_out"].ne("diverged")
        absent = int((is_absent & table["comparison"].eq(comparison)).sum())
        to_do = int((table["to_do"] & table["comparison"].eq(comparison)).sum())
        names = _names([(*r[["model_name", "dataset", "device", "setting"]].iloc[0], g) for g, r in groups.items()])
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
            drawn = points(counting, saving, margin_of(own), waits=to_do > 0 and not unfinished)
            stem = "_".join(filter(None, [file_name(str(comparison)), name, on(profiled_on)]))
            counts = {"absent": absent, "unfit": unfit, "to_do": to_do}
            made.append(Panel(str(comparison), stem, own, drawn, counting, timed_on, **counts, anyway=unfinished))
    return made


def margin_of(runs: pd.DataFrame) -> float | None:
    """The smallest margin that the sweeps of some runs fixed; None if none did."""
    smallest = runs["margin"].min()
    return None if pd.isna(smallest) else float(smallest)


def named(devices: pd.Series) -> str:
    """The device models in a column, each once, in order of appearance."""
    return ", ".join(map(str, devices.unique()))


def _names(groups: list[tuple]) -> list[str]:
    """What distinguishes settings in file names: "" for one alone; else model-dataset, then device, setting or hash.

    groups: (model, dataset, device, setting, setting_id) of each.
    """
    if len(groups) == 1:
        return [""]
    for parts in ((0, 1), (0, 1, 2), (0, 1, 3)):
        names = ["-".join(file_name(str(group[i])) for i in parts) for group in groups]
        if len(set(names)) == len(names):
            return names
    return [
        f"{file_name(str(model))}-{file_name(str(dataset))}-{str(group)[:8]}" for model, dataset, *_, group in groups
    ]


def on(profiled_on: str | None) -> str:
    """The part of a file's name for the device of the profile: `on-NVIDIA-H200`; "" if there is none."""
    return f"on-{file_name(profiled_on)}" if profiled_on else ""


def file_name(text: str) -> str:
    """The text with everything that is not safe in a file's name replaced by hyphens."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")

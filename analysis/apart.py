"""What tells apart the panels of a sweep that have the same network and data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from freezeout.records import flat

from .comparisons import named
from .text import typed

# Sections of a configuration that make a panel. The network is named anyway; arms of a panel differ in their strategy.
SECTIONS = ("dataset", "optimizer", "augment", "machine", "batch_size", "label_smoothing", "compat")
FILES = {"dataset.root", "dataset.train", "dataset.test", "dataset.target"}  # where images are, not what they are
OPEN = object()  # value of a key in which the runs of one panel differ


def panel_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a run's configuration that may tell its panel apart: {"optimizer.lr": 0.1, ...}."""
    own = flat({section: config[section] for section in SECTIONS if section in config})
    return {key: value for key, value in own.items() if key not in FILES}


def with_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Adds the column `setting`, equal for the runs of a panel.

    Args:
        table: With the columns of `load`, and `panel_keys`: a dict for each run that has a configuration.

    Returns:
        The table with `setting`: the keys that differ between panels of the same comparison, network and data set, as
        in "optimizer.lr=0.05", then their devices if these differ; "" for a panel that is alone.
    """
    table["setting"] = ""
    same = ["comparison", "model", "dataset"]
    for _, rows in table[table["left_out"].isna()].groupby(same, sort=False):
        groups = dict(list(rows.groupby("setting_id", sort=False)))
        if len(groups) < 2:
            continue
        shared = {setting: _shared(own["panel_keys"]) for setting, own in groups.items()}
        devices = {setting: named(own["device"]) for setting, own in groups.items()}
        names = dict.fromkeys(key for keys in shared.values() for key in keys)
        differ = [key for key in names if _differs([keys.get(key) for keys in shared.values()])]
        for setting, keys in shared.items():
            words = [f"{key}={typed(keys[key])}" for key in differ if key in keys]
            words += [devices[setting]] if len({*devices.values()}) > 1 else []
            mine = (table["setting_id"] == setting) & table["comparison"].eq(rows["comparison"].iloc[0])
            table.loc[mine, "setting"] = ", ".join(words)
    return table


def _differs(values: list[Any]) -> bool:
    return OPEN not in values and len({*map(repr, values)}) > 1


def _shared(runs: pd.Series) -> dict[str, Any]:
    """The keys of several runs, OPEN where they differ: that is a matter of the arms."""
    found: dict[str, Any] = {}
    for keys in runs:
        for key, value in keys.items():
            found[key] = value if repr(found.get(key, value)) == repr(value) else OPEN
    return found

"""Savings within a group: which runs may be compared by their clocks, and why the others may not."""

from __future__ import annotations

from collections import Counter

import pandas as pd

REPEATED_AT_MOST = 0.01  # share of its training seconds that a run may have done again after a kill


def without_other_machines(table: pd.DataFrame) -> pd.DataFrame:
    """A group's reference machine (device model and versions) is its most frequent one; with a tie, the baselines'."""
    for _, rows in table[table["left_out"].isna()].groupby(["sweep", "group"], dropna=False):
        baselines = Counter(rows.loc[rows["strategy"] == "baseline", "machine"])
        runs = Counter(rows["machine"])
        reference = max(sorted(runs), key=lambda machine: (runs[machine], baselines[machine]))
        table.loc[rows.index[rows["machine"] != reference], "left_out"] = "another device or other versions"
    return table


def with_savings(table: pd.DataFrame) -> pd.DataFrame:
    """Adds measured_saving, error_difference (points of error, against the same baseline) and left_out_of_savings.

    The baseline of a run is the one of its sweep, group and seed, on the same device model and versions. In a sweep of
    several lengths it is that of the longest: the shorter baselines lie on the shortened curve. Profiled savings, each
    of its own length until here, become those against the longest too.
    """
    table[["measured_saving", "error_difference"]] = float("nan")
    table["left_out_of_savings"] = table["left_out"].where(table["status"] != "done")
    for _, group in table.groupby(["sweep", "group"], dropna=False):
        shares = (group["epochs"] / group["epochs"].max()).fillna(1.0)
        table.loc[group.index, "profiled_saving"] = 1 - (1 - group["profiled_saving"]) * shares
        done = group[group["status"] == "done"]
        # The longest of all runs, failed ones too: a baseline that failed is never replaced by a shorter one.
        baselines = done[(done["strategy"] == "baseline") & (done["epochs"] == group["epochs"].max())]
        baselines = baselines.drop_duplicates("seed").set_index("seed")
        for index, run in done.iterrows():
            baseline = baselines.loc[run["seed"]] if run["seed"] in baselines.index else None
            reason = _no_saving(run, baseline)
            if baseline is not None and run["machine"] == baseline["machine"]:
                table.loc[index, "error_difference"] = run["error"] - baseline["error"]
            if reason is None and baseline is not None:
                table.loc[index, "measured_saving"] = 1 - run["seconds_train"] / baseline["seconds_train"]
            table.loc[index, "left_out_of_savings"] = reason
    return table


def _no_saving(run: pd.Series, baseline: pd.Series | None) -> str | None:
    if baseline is None:
        return "no finished baseline of its seed"
    if run["machine"] != baseline["machine"]:
        return "its baseline ran on another device or other versions"
    for owner, row in (("", run), ("its baseline: ", baseline)):
        if not row["seconds_train"] > 0:
            return f"{owner}no training seconds in the record"
        if pd.isna(row["repeated_seconds"]):
            return f"{owner}resumed, and how much work was repeated is not known"
        if row["repeated_seconds"] >= REPEATED_AT_MOST * row["seconds_train"]:
            return f"{owner}1 % or more of its training seconds were repeated"
    return None

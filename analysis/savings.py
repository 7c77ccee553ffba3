"""Savings within a panel: the baseline, which runs may be compared by their clocks, and why others may not."""

from __future__ import annotations

import numpy as np
import pandas as pd

REPEATED_AT_MOST = 0.01  # share of its training seconds that a run may have repeated after a kill
CLOCKED = ["seconds_train", "repeated_seconds", "shared_device"]  # decide whether a run's clock gives a saving
PANEL = ["comparison", "setting_id"]  # runs that agree in these may be compared
CURVE = ("baseline", "shortened")  # the strategies whose points make the curve to beat


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Let CPU runs of one setting share a panel whatever CPU trained them, if each has a profiled saving.

    Clocks of different machines are then never compared. Runs that differ only in the machine stay apart: they are
    there to compare machines.

    Args:
        table: With the column `anywhere`, the setting without the device's model and the threads.

    Returns:
        The table with `is_pooled`; pooled rows get the `setting_id` that they have in common.
    """
    table["is_pooled"] = False
    for _, all_rows in table.groupby(["comparison", "anywhere"]):
        rows = all_rows[all_rows["left_out"].isna()]
        apart = rows.duplicated(["label", "seed"]).any()
        if len(rows) and (rows["device_type"] == "cpu").all() and rows["profiled_saving"].notna().all() and not apart:
            table.loc[all_rows.index, "is_pooled"] = True
            if rows["setting_id"].nunique() > 1:
                table.loc[all_rows.index, "setting_id"] = table.loc[all_rows.index, "anywhere"]
    return table


def without_other_machines(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs of a panel that were not trained on its reference machine (device model and versions).

    That is the most frequent machine; in a tie, the one with the most baselines. A pooled panel has none.
    """
    kept = table.loc[table["left_out"].isna() & ~table["is_pooled"], [*PANEL, "machine", "strategy"]]
    counts = kept.assign(is_baseline=kept["strategy"] == "baseline").groupby([*PANEL, "machine"], dropna=False)
    counts = counts["is_baseline"].agg(runs="size", baselines="sum").reset_index()
    counts = counts.sort_values(["runs", "baselines", "machine"], ascending=[False, False, True])
    reference = counts.drop_duplicates(PANEL)[[*PANEL, "machine"]]
    found = kept.merge(reference, on=PANEL, how="left", suffixes=("", "_reference"))
    other = kept.index[(found["machine"] != found["machine_reference"]).to_numpy()]
    table.loc[other, "left_out"] = "another device or other versions"
    return table


def with_savings(table: pd.DataFrame) -> pd.DataFrame:
    """Express every saving of a panel relative to one baseline, so that all four kinds share one axis.

    The reference is a baseline of the panel's full length, `reference_epochs`: the longest among its baselines,
    including failed ones (a failed baseline is never replaced by a shorter one), and the lengths that shortened runs
    shorten; if a panel has neither, the length of its longest run. Shorter baselines thus lie on the shortened curve.

    Args:
        table: With the columns of `load`; its savings are against a baseline of `trained_epochs`, but the estimate, as
            in the paper's formula, against one of `epochs`.

    Returns:
        The table with `reference_epochs`, `measured_saving`, `error_difference` (points of error, against the baseline
        of the same seed), `left_out_of_savings` and `diverged_seeds`; the other savings are now against the reference.
    """
    curve = table["epochs"].where(table["strategy"].isin(CURVE))
    longest = [
        epochs.groupby([table[key] for key in PANEL], dropna=False).transform("max")
        for epochs in (curve, table["epochs"])
    ]
    table["reference_epochs"] = longest[0].fillna(longest[1])
    for column, own in (
        ("estimated_saving", table["epochs"]),
        ("predicted_saving", table["trained_epochs"]),
        ("profiled_saving", table["trained_epochs"]),
    ):
        table[column] = 1 - (1 - table[column]) * (own / table["reference_epochs"]).fillna(1.0)
    paired = _paired(table)
    reason = _no_saving(paired)
    table["error_difference"] = (paired["error"] - paired["error_baseline"]).where(
        table["is_pooled"] | (paired["machine"] == paired["machine_baseline"])
    )
    table["measured_saving"] = (1 - paired["seconds_train"] / paired["seconds_train_baseline"]).where(reason.isna())
    table["left_out_of_savings"] = table["left_out"].where(table["status"] != "done", reason)
    same = [*PANEL, "series", "label"]
    is_diverged = (table["diverged"] == True).astype(int)  # noqa: E712 (null is not False)
    table["diverged_seeds"] = is_diverged.groupby([table[key] for key in same], dropna=False).transform("sum")
    return table


def _paired(table: pd.DataFrame) -> pd.DataFrame:
    """Each finished run with the columns (suffix `_baseline`) of the reference baseline of its panel and seed.

    Same index as the table; the rows of other runs are all null.
    """
    done = table[table["status"] == "done"]
    whole = done[(done["strategy"] == "baseline") & (done["epochs"] == done["reference_epochs"])]
    pair = [*PANEL, "seed"]
    whole = whole.drop_duplicates(pair)[[*pair, "machine", "error", *CLOCKED]]
    done = done.assign(machines=done.groupby(pair, dropna=False)["machine"].transform("nunique"))
    found = done.merge(whole, on=pair, how="left", suffixes=("", "_baseline"))
    return found.set_axis(done.index).reindex(table.index)


def _no_saving(paired: pd.DataFrame) -> pd.Series:
    """Why the clocks of a run and its baseline give no saving; None if they do."""
    reasons = {
        "no finished baseline of its seed": paired["machine_baseline"].isna(),
        "its baseline ran on another device or other versions": paired["machine"] != paired["machine_baseline"],
        "the arms of its seed ran on several devices or versions": (paired["machines"] > 1)
        & paired["is_pooled"].eq(True),
    }
    for owner, of in (("", ""), ("its baseline: ", "_baseline")):
        seconds, repeated, shared = (paired[f"{key}{of}"] for key in CLOCKED)
        reasons |= {
            f"{owner}no training seconds in the record": ~(seconds > 0),
            f"{owner}resumed, and how much work was repeated is not known": repeated.isna(),
            f"{owner}1 % or more of its training seconds were repeated": repeated >= REPEATED_AT_MOST * seconds,
            f"{owner}shared its device or stood still, so its clock is not used": shared.eq(True),
        }
    found = np.select([*reasons.values()], [*reasons], default="")
    return pd.Series(found, index=paired.index, dtype=object).replace({"": None})

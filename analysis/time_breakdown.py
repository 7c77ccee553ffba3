"""One run's training seconds by part of a step: where the time goes, and where the saving comes from.

A block of a record's `prefixes` is at most 50 steps at one prefix, with the seconds of each part of a step.
"""

from __future__ import annotations

import statistics
from typing import Any

import pandas as pd

from .text import text_table

# The key of each part of a block and its name, in the order in which they are stacked: parts that freezing leaves are
# below those that it removes.
PARTS = {
    "prefix_forward": "forward of the prefix",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "cache": "cache of the prefix",
    "input": "input",
    "switch": "switches",
    "graph": "CUDA graphs, not split",
    "other": "other",
}
INSIDE_GRAPHS = ("prefix_forward", "forward", "backward", "optimizer")


def seconds_a_step(block: dict[str, Any]) -> float:
    """Seconds per step of a block; the median in a packed record, whose blocks are whole prefixes."""
    return block.get("median", block["seconds"] / (block["step_to"] - block["step_from"]))


def blocks(record: dict[str, Any]) -> pd.DataFrame:
    """The blocks of a run with the seconds of every part of a step.

    Replayed CUDA graphs cannot be timed inside; their seconds are split in the proportions of the steps of the same
    prefix outside of graphs (its warm-up). `other` is the rest.

    Returns:
        One row per block: prefix, step_from, step_to, steps, seconds, the seconds of each of PARTS, and `median`, as
        `seconds_a_step` gives it.

    Raises:
        ValueError: The record has no training step.
    """
    table = pd.DataFrame(record.get("prefixes") or [])
    if table.empty:
        raise ValueError(f"run {record.get('run_id')}: no training step in its record ({record.get('status')})")
    table = table.reindex(columns=["prefix", "step_from", "step_to", "seconds", *PARTS, "median"])
    table.insert(3, "steps", table["step_to"] - table["step_from"])
    table["median"] = [seconds_a_step(block) for block in record["prefixes"]]
    table = table.fillna(0.0)
    for prefix, own in table.groupby("prefix"):
        inside = own[[*INSIDE_GRAPHS]].sum()
        if own["graph"].sum() > 0 and inside.sum() > 0:
            for key, share in (inside / inside.sum()).items():
                table.loc[own.index, key] += share * own["graph"]
            table.loc[table["prefix"] == prefix, "graph"] = 0.0
    timed = [key for key in PARTS if key != "other"]
    table["other"] = (table["seconds"] - table[timed].sum(axis=1)).clip(lower=0.0)
    return table


def per_prefix(table: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The mean step at each prefix: areas over t are then proportional to the run's seconds.

    Args:
        table: As `blocks` gives it.
        steps: Training steps of the whole run.

    Returns:
        One row per prefix: its steps from `step_from` to `step_to`, the same as fractions of the run (t_from, t_to),
        and seconds per step, in all and of each part. `median` is the median over blocks, to compare with the mean.
    """
    rows = []
    for prefix, own in table.groupby("prefix", sort=False):
        count = own["steps"].sum()
        rows.append(
            {
                "prefix": prefix,
                "step_from": own["step_from"].min(),
                "step_to": own["step_to"].max(),
                "t_from": own["step_from"].min() / steps,
                "t_to": own["step_to"].max() / steps,
                "seconds": own["seconds"].sum() / count,
                "median": statistics.median(own["median"]),
                **{key: own[key].sum() / count for key in PARTS},
            }
        )
    return pd.DataFrame(rows)


def level(found: pd.DataFrame) -> float | None:
    """Seconds per step with nothing frozen, median over blocks; None if the run had no such step."""
    whole = found.loc[found["prefix"] == 0, "median"]
    return float(whole.iloc[0]) if len(whole) else None


def saved(found: pd.DataFrame) -> float | None:
    """1 - the run's seconds / those of as many steps with nothing frozen (`level`); None without a level."""
    base, steps = level(found), found["step_to"] - found["step_from"]
    return None if base is None else float(1 - (found["seconds"] * steps).sum() / (base * steps.sum()))


def parts_text(found: pd.DataFrame) -> str:
    """A table with one row per part: its seconds in the run, its share, and milliseconds per step at both ends."""
    steps = found["step_to"] - found["step_from"]
    first, last = found.iloc[0], found.iloc[-1]
    total = (found["seconds"] * steps).sum()
    rows = []
    for key, words in {**PARTS, "seconds": "in all"}.items():
        spent = (found[key] * steps).sum()
        if spent > 0:
            per_step = (f"{1000 * first[key]:.3f}", f"{1000 * last[key]:.3f}")
            rows.append((words, f"{spent:.2f}", f"{100 * spent / total:.1f}", *per_step))
    header = ("part", "seconds", "share %", f"ms/step, {first['prefix']:.0f} frozen", f"{last['prefix']:.0f} frozen")
    return text_table(header, rows)

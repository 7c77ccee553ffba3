"""The time of a training step at each number of frozen stages, and what each freeze event of a run saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from freezeout.naming import counted

from ..time_breakdown import blocks, per_prefix

PLAIN = "prefix computed at every step"


def prefixes(record: Mapping[str, Any]) -> pd.DataFrame | None:
    """The steps of a run by prefix (`time_breakdown.per_prefix`); None if its record does not have them."""
    if not record.get("prefixes") or not record.get("steps"):
        return None
    return per_prefix(blocks(dict(record)), record["steps"])


def kind(record: Mapping[str, Any]) -> str:
    """What a step's time depends on within a panel besides the number of frozen stages, in words."""
    effective, strategy = record.get("effective") or {}, record["config"].get("strategy") or {}
    views = (effective.get("views") or {}).get("count")
    words = ["its outputs remembered"] if effective.get("cache") else []
    words += [counted(views, "view")] if words and views else []
    words += ["bn=train"] if strategy.get("bn") == "train" else []
    return ", ".join(words) or PLAIN


def step_times(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Milliseconds of a step at each prefix, over the runs of a panel.

    Returns:
        One row per kind of step, device and prefix: the median over runs of their medians over blocks, the fastest and
        the slowest run, and the number of runs. Steps with nothing frozen are the same for every kind and count as
        PLAIN.
    """
    several = len({(record.get("device") or {}).get("model") for record in records}) > 1
    rows = []
    for record in records:
        found = prefixes(record)
        if found is None:
            continue
        device = (record.get("device") or {}).get("model")
        for prefix, median in zip(found["prefix"], found["median"], strict=True):
            name = kind(record) if prefix else PLAIN
            rows.append({"kind": f"{name} ({device})" if several else name, "prefix": int(prefix), "ms": 1e3 * median})
    if not rows:
        return []
    table = pd.DataFrame(rows).groupby(["kind", "prefix"], sort=True)["ms"].agg(["median", "min", "max", "size"])
    found = [
        {"kind": kind, "prefix": int(prefix), "ms": row["median"], "low": row["min"], "high": row["max"]}
        | {"runs": int(row["size"])}
        for (kind, prefix), row in table.iterrows()
    ]
    return sorted(found, key=lambda row: (not row["kind"].startswith(PLAIN), row["kind"], row["prefix"]))


def stage_savings(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each freeze event of a run saved until the end, as a share of the time with nothing frozen.

    With medians m_k of a step at prefix k, the event that leads from prefix j to k at step s of N saves
    (m_j - m_k) (N - s) / (N m_0): together 1 - (the run's seconds at those medians) / (N m_0). Negative where freezing
    made a step slower.

    Returns:
        One row per event: the stages `first` to `last` that it froze, `t`, `before` and `after` in milliseconds a step,
        and `share`; [] for a run that froze nothing or had no step with nothing frozen.
    """
    found = prefixes(record)
    if found is None or found["prefix"].iloc[0] != 0:
        return []
    steps, whole = record["steps"], found["median"].iloc[0]
    rows = []
    for i in range(1, len(found)):
        before, after = found.iloc[i - 1], found.iloc[i]
        share = (before["median"] - after["median"]) * (steps - after["step_from"]) / (steps * whole)
        rows.append(
            {
                "first": int(before["prefix"]),
                "last": int(after["prefix"]) - 1,
                "t": float(after["t_from"]),
                "before": 1e3 * float(before["median"]),
                "after": 1e3 * float(after["median"]),
                "share": float(share),
            }
        )
    return rows

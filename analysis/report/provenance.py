"""Where the numbers of a panel come from, and which runs are left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from freezeout.naming import counted, duration


def provenance(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Code, device, data and dates of a panel's runs, as (what, words); several values with their numbers of runs."""

    def each(values: Iterable[Any]) -> str:
        found = Counter("not recorded" if value is None else str(value) for value in values)
        if len(found) == 1:
            return next(iter(found))
        return "; ".join(f"{value} ({counted(n, 'run')})" for value, n in sorted(found.items()))

    data = [record.get("data") or {} for record in records]
    sizes = [
        ", ".join(f"{one[split]} {split}" for split in ("train", "validation", "test") if one.get(split)) or None
        for one in data
    ]
    starts = sorted(record["started"] for record in records if record.get("started"))
    days = sorted({starts[0][:10], starts[-1][:10]}) if starts else ["not recorded"]
    spent = [(record.get("seconds") or {}).get("total") for record in records]
    hours = duration(sum(s for s in spent if s is not None))
    return [
        ("runs", f"{len(records)}, {hours} in all" + (f" ({spent.count(None)} not recorded)" if None in spent else "")),
        ("dates", " to ".join(days)),
        ("commit", each(_commit(record) for record in records)),
        ("device", each(_device(record.get("device") or {}) for record in records)),
        ("versions", each(_versions(record.get("versions") or {}) for record in records)),
        ("data", each(_data(record) for record in records)),
        ("images", each(sizes)),
        ("data fingerprint", each(one.get("fingerprint") for one in data)),
        ("evaluated on", each(record.get("split") for record in records)),
        ("W&B", f"{sum(wandb(record) is not None for record in records)} of {counted(len(records), 'run')} logged"),
        ("shared the device", each({True: "yes", False: "no"}.get(record.get("shared_device")) for record in records)),  # type: ignore[arg-type]
    ]


def wandb(record: Mapping[str, Any]) -> str | None:
    """The id of the run's W&B log; None without one."""
    return (record.get("wandb") or {}).get("id")


def left_out(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every run left out of plots, or of savings only: one row per sweep and reason.

    Returns:
        `sweep`, `what` (`every plot` or `savings by clocks`), `reason`, the number of `runs`, and `which`:
        configurations with their seeds.
    """
    plots = table.assign(why=table["left_out"], what="every plot")
    savings = table.assign(why=table["left_out_of_savings"].where(table["left_out"].isna()), what="savings by clocks")
    rows = []
    for part in (plots, savings):
        for (sweep, why), own in part[part["why"].notna()].groupby(["comparison", "why"], sort=True):
            detail = sorted({str(r) for r in own["reason"].dropna()} - {str(why)})
            reason = f"{why} ({'; '.join(detail)})" if detail else str(why)
            what = {"sweep": str(sweep), "what": own["what"].iloc[0], "reason": reason, "runs": len(own)}
            rows.append(what | {"which": "; ".join(_which(own))})
    return rows


def _which(own: pd.DataFrame) -> list[str]:
    """`FreezeOut cubic scaled t_0=0.8: seeds 0, 1`, one for each configuration."""
    names = own["configuration"].fillna("unknown configuration")
    words = []
    for name, seeds in own["seed"].groupby(names, sort=False):
        known = sorted(int(seed) for seed in seeds.dropna())
        words.append(
            f"{name}: seed{'s' if len(known) > 1 else ''} {', '.join(map(str, known))}" if known else str(name)
        )
    return words


def _commit(record: Mapping[str, Any]) -> str | None:
    commit, dirty = record.get("commit"), record.get("dirty")
    if commit is None:
        return None
    return str(commit)[:12] + {True: ", with uncommitted changes", False: ", clean"}.get(dirty, "")  # type: ignore[arg-type]


def _data(record: Mapping[str, Any]) -> str | None:
    """The data set's name, its files if the name does not identify them, and its pixels."""
    data, dataset = record.get("data") or {}, (record.get("config") or {}).get("dataset") or {}
    files, pixels = dataset.get("train"), data.get("image")
    words = [str(data["name"])] if data.get("name") else []
    words += [", ".join(map(str, files))] if isinstance(files, list) else []
    words += [f"{' x '.join(map(str, pixels))} pixels"] if pixels else []
    return ", ".join(words) or None


def _device(device: Mapping[str, Any]) -> str | None:
    threads = device.get("threads") if device.get("type") == "cpu" else None
    words = [str(device.get("model")), *([counted(threads, "thread")] if threads else [])]
    return ", ".join(words) if device else None


def _versions(versions: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version) or None
